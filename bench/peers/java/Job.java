import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.Properties;

/** What the bench says, as JSON in the last argument, and what it is told. */
final class Job {
    final String bootstrap;
    final String input;
    final String output;
    final String group;
    final long records;
    final boolean exactlyOnce;
    /** Records in a commit; without end where time decides. */
    final long batch;
    /** Time between commits; without end where records decide. */
    final Duration interval;
    private final JsonNode settings;
    private final Thread bench;
    private volatile boolean done;

    private Job(JsonNode job) {
        bootstrap = job.get("bootstrap").asText();
        input = job.get("input").asText();
        output = job.get("output").asText();
        group = job.get("group").asText();
        records = job.get("records").asLong();
        JsonNode contestant = job.get("contestant");
        exactlyOnce = contestant.get("guarantee").asText().equals("exactly_once");
        JsonNode cadence = contestant.get("cadence");
        batch = cadence.path("records").asLong(Long.MAX_VALUE);
        interval = cadence.has("ms") ? Duration.ofMillis(cadence.get("ms").asLong()) : Duration.ofDays(1);
        settings = job.get("settings");
        bench = new Thread(this::untilBenchIsGone);
        bench.setDaemon(true);
        bench.start();
    }

    static Job read(String[] args) throws IOException {
        return new Job(new ObjectMapper().readTree(args[args.length - 1]));
    }

    /** The settings whose names begin with a prefix, without it. */
    Properties settings(String prefix) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        settings.fields().forEachRemaining(field -> {
            if (field.getKey().startsWith(prefix)) {
                properties.put(field.getKey().substring(prefix.length()), field.getValue().asText());
            }
        });
        return properties;
    }

    private void untilBenchIsGone() {
        try {
            System.in.read();
        } catch (IOException gone) {
            // The same as its end.
        }
        if (!done) {
            Runtime.getRuntime().halt(1);
        }
    }

    /** Prints the result, and waits until the bench has read what it wants to know about this process. */
    void report(Instant first, double elapsedSeconds, long retried) throws InterruptedException {
        done = true;
        long micros = first.getEpochSecond() * 1_000_000 + first.getNano() / 1000;
        System.out.printf(
            java.util.Locale.ROOT,
            "{\"first_unix_us\":%d,\"elapsed_s\":%f,\"retried\":%d}%n",
            micros,
            elapsedSeconds,
            retried);
        System.out.flush();
        bench.join();
    }
}
