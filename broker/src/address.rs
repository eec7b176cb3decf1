//! From the address a user writes to a listening socket and to the address that clients are told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use crate::error::BrokerError;

/// A bound socket and the name under which clients reach it.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Listening {
    /// `host:port`, with the brackets that an IPv6 address needs.
    pub(crate) fn bootstrap(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Binds `address`. Clients are told `advertise` if given, which may have a port of its own, else the host that was
/// asked for; a wildcard address is no place to connect to, so it is advertised as loopback.
pub(crate) fn bind(address: &str, advertise: Option<&str>) -> Result<Listening, BrokerError> {
    let bad = |reason: String| BrokerError::BadAddress { address: address.to_owned(), reason };
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| bad("it has no port; write host:port, for example 127.0.0.1:9092".to_owned()))?;
    let port: u16 = port.parse().map_err(|_| bad(format!("{port:?} is not a port between 0 and 65535")))?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(bad("it has no host; write 0.0.0.0 for every interface".to_owned()));
    }
    let mut candidates: Vec<SocketAddr> =
        (host, port).to_socket_addrs().map_err(|error| bad(format!("its host cannot be resolved: {error}")))?.collect();
    // `localhost` often resolves to ::1 first, while clients and firewalls expect 127.0.0.1.
    candidates.sort_by_key(SocketAddr::is_ipv6);
    if candidates.is_empty() {
        return Err(bad("its host has no address".to_owned()));
    }
    let listener = TcpListener::bind(&candidates[..]).map_err(|error| BrokerError::from_bind(address, &error))?;
    let local = listener.local_addr().map_err(|error| BrokerError::from_bind(address, &error))?;
    let elsewhere = advertise.and_then(|name| {
        let (host, port) = name.rsplit_once(':').filter(|(host, _)| !host.contains(':'))?;
        Some((host, port.parse().ok()?))
    });
    if let Some((host, port)) = elsewhere {
        return Ok(Listening { listener, host: host.to_owned(), port });
    }
    let host = match (advertise, local.ip()) {
        (Some(name), _) => name.to_owned(),
        (None, IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        (None, IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        (None, _) => host.to_owned(),
    };
    Ok(Listening { listener, host, port: local.port() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_advertised_as_loopback() {
        let listening = bind("0.0.0.0:0", None).expect("bind");
        assert_eq!(listening.host, "127.0.0.1");
        assert_eq!(listening.bootstrap(), format!("127.0.0.1:{}", listening.port));
    }

    #[test]
    fn a_host_that_was_given_is_kept() {
        assert_eq!(bind("localhost:0", None).expect("bind").host, "localhost");
        assert_eq!(bind("0.0.0.0:0", Some("kafka.test")).expect("bind").host, "kafka.test");
        let behind_a_proxy = bind("127.0.0.1:0", Some("kafka.test:9092")).expect("bind");
        assert_eq!(behind_a_proxy.bootstrap(), "kafka.test:9092");
        assert_eq!(bind("127.0.0.1:0", Some("fe80::1:2")).expect("bind").host, "fe80::1:2");
    }

    #[test]
    fn each_way_to_fail_has_its_own_error() {
        let taken = bind("127.0.0.1:0", None).expect("bind");
        let error = bind(&taken.bootstrap(), None).expect_err("taken");
        assert!(matches!(error, BrokerError::AddressInUse { .. }), "{error}");
        assert!(error.to_string().contains(&taken.bootstrap()), "{error}");
        for bad in ["", "9092", "127.0.0.1", "127.0.0.1:99999", ":9092", "no.such.host.invalid:0", "192.0.2.1:0"] {
            let error = bind(bad, None).expect_err("bad");
            assert!(matches!(error, BrokerError::BadAddress { .. }), "{bad}: {error}");
        }
    }
}
