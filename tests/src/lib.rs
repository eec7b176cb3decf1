//! ksem-tests
