//! Why a broker did not start.

use std::io;

/// Why the embedded broker could not start. Every message names the address that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Another process, or another broker in this one, listens there already.
    #[error(
        "cannot listen on {address}: the address is already in use; stop what listens there, or take port 0 for any free port"
    )]
    AddressInUse {
        /// The address that was asked for.
        address: String,
    },
    /// The operating system refused, as it does for ports below 1024.
    #[error("cannot listen on {address}: permission denied; ports below 1024 are usually reserved")]
    PermissionDenied {
        /// The address that was asked for.
        address: String,
    },
    /// It is no `host:port`, its host has no address, or the address does not belong to this machine.
    #[error("cannot listen on {address:?}: {reason}")]
    BadAddress {
        /// The address that was asked for.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Anything else: no file descriptors or threads left, for example.
    #[error("cannot start a broker on {address}: {reason}")]
    Other {
        /// The address that was asked for.
        address: String,
        /// What happened.
        reason: String,
    },
}

impl BrokerError {
    /// Sorts an error of `bind` into the cases that a user can do something about.
    pub(crate) fn from_bind(address: &str, error: &io::Error) -> Self {
        let address = address.to_owned();
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { address },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { address },
            io::ErrorKind::AddrNotAvailable => {
                Self::BadAddress { address, reason: "no network interface of this machine has that address".to_owned() }
            }
            _ => Self::Other { address, reason: error.to_string() },
        }
    }
}
