//! Addresses and networks as settings write them: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.
//!
//! An IPv4 address and the same one mapped into IPv6 are one. Refused are names, ports, bits behind
//! the prefix (`10.0.0.1/8` may mean either), and a network of all addresses: it would trust
//! anyone.

use std::net::IpAddr;

/// A network; a single address is one of full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// In IPv6 form, bits behind the prefix zero.
    address: u128,
    /// Bits that count, 1 to 128.
    length: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// It is neither an address nor one with `/` and a number of bits.
    Malformed,
    /// It has bits set behind its prefix.
    HostBits,
    /// It holds every address.
    Everyone,
}

impl std::fmt::Display for NetworkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "expected an address or a network such as 192.0.2.7 or 10.0.0.0/8",
            Self::HostBits => "it has bits behind its prefix: 10.0.0.0/8, or 10.0.0.1",
            Self::Everyone => "it would trust everyone",
        })
    }
}

impl std::error::Error for NetworkError {}

impl Network {
    /// Parses an address or a network.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let most: u8 = if address.is_ipv4() { 32 } else { 128 };
        let length = match bits {
            None => most,
            Some(bits) => {
                let plain = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
                let bits = if plain { bits.parse::<u8>().ok() } else { None };
                bits.filter(|bits| *bits <= most).ok_or(NetworkError::Malformed)?
            }
        };
        if length == 0 {
            return Err(NetworkError::Everyone);
        }
        let (address, length) = (number(address), length + (128 - most));
        if address & !mask(length) != 0 {
            return Err(NetworkError::HostBits);
        }
        Ok(Self { address, length })
    }

    /// Whether an address is one of the network's; what is no address is in none.
    #[must_use]
    pub fn holds(&self, address: &str) -> bool {
        let address = address.parse().map(number);
        address.is_ok_and(|address| address & mask(self.length) == self.address)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// `length` is 1 to 128.
const fn mask(length: u8) -> u128 {
    u128::MAX << (128 - length as u32)
}
