// Orders become invoices and analytics, under a guarantee from the command line:
//
//     c++ -std=c++17 orders.cpp $(pkg-config --cflags --libs ksem) -o orders && ./orders localhost:9092 exactly_once
#include <iostream>
#include <ksem.hpp>
#include <string>

int main(int argc, char **argv) {
    if (argc != 3) {
        std::cerr << "usage: orders BOOTSTRAP at_most_once|at_least_once|exactly_once\n";
        return 2;
    }
    const std::string bootstrap = argv[1], guarantee = argv[2];
    try {
        const auto pipeline = ksem::Pipeline::open_toml(
            "group = 'orders-cpp-" + guarantee + "'\ninputs = ['orders']\nguarantee = '" + guarantee +
            "'\n[kafka]\n'bootstrap.servers' = '" + bootstrap + "'\n");
        std::size_t orders = 0;
        pipeline.run(
            [&](const ksem::BatchView &batch, ksem::Output &out) {
                for (const ksem::Record &order : batch) {
                    if (order.value().is_null()) throw std::runtime_error("an order without a value");
                    out.send("invoices", order.key(), "invoice for " + order.value().string());
                }
                out.forward_all("analytics");  // unchanged, with headers and timestamps
                orders += batch.size();
            },
            ksem::Until::caught_up);
        pipeline.close();
        std::cout << guarantee << ": " << orders << " orders\n";
    } catch (const ksem::Error &error) {
        std::cerr << error.what() << "\n";
        return error.retry() == std::string("never") ? 1 : 75;
    } catch (const std::exception &error) {  // what the handler threw
        std::cerr << error.what() << "\n";
        return 1;
    }
}
