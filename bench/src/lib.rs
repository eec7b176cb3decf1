//! ksem-bench
