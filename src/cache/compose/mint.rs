//! Values that the edge makes: CSRF secrets and tokens as Django makes them, nonces, ids.
//!
//! All are 32 letters and digits, 190 bits. Random bytes are an argument, and come from a
//! cryptographic generator; each value needs bytes of its own. Nothing made here is ever shown by
//! `Debug`, so that no log line can hold it.

/// Random bytes for one value: about two thirds of them are needed, so that those which would give
/// some letters more often than others can be thrown away.
pub type Random = [u8; 64];

/// How long a secret and a mask are.
pub const LENGTH: usize = 32;

/// Django's alphabet (`CSRF_ALLOWED_CHARS`), in its order.
const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// The bytes that give each letter equally often.
const UNBIASED_BYTES: u8 = 248;

/// Indices in the alphabet, one for each letter of a value.
type Indices = [u8; LENGTH];

fn indices(random: &Random) -> Option<Indices> {
    let mut fair = random.iter().filter(|byte| **byte < UNBIASED_BYTES).map(|byte| byte % 62);
    let mut indices = [0; LENGTH];
    for index in &mut indices {
        *index = fair.next()?;
    }
    Some(indices)
}

fn text(indices: &Indices) -> String {
    indices.iter().map(|index| char::from(LETTERS[usize::from(index % 62)])).collect()
}

fn read(text: &str) -> Option<Indices> {
    let mut indices = [0; LENGTH];
    if text.len() != LENGTH {
        return None;
    }
    for (index, byte) in indices.iter_mut().zip(text.bytes()) {
        *index = u8::try_from(LETTERS.iter().position(|letter| *letter == byte)?).ok()?;
    }
    Some(indices)
}

/// A value of 32 letters and digits: a nonce, an id. None if the bytes are none that a generator
/// gives.
#[must_use]
pub fn letters(random: &Random) -> Option<String> {
    indices(random).map(|indices| text(&indices))
}

/// A CSRF secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Indices);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A new one.
    #[must_use]
    pub fn new(random: &Random) -> Option<Self> {
        indices(random).map(Self)
    }

    /// The secret that a cookie holds, as Django reads it: 32 letters and digits, or a token of 64
    /// as Django's versions before 4.1 set it. None if Django would make a new one.
    #[must_use]
    pub fn of_cookie(value: &str) -> Option<Self> {
        let (mask, cipher) = value.split_at_checked(LENGTH)?;
        let first = read(mask)?;
        if cipher.is_empty() {
            return Some(Self(first));
        }
        let mut secret = read(cipher)?;
        for (index, mask) in secret.iter_mut().zip(first) {
            *index = (*index + 62 - mask) % 62;
        }
        Some(Self(secret))
    }

    /// The cookie's value.
    #[must_use]
    pub fn cookie_value(&self) -> String {
        text(&self.0)
    }

    /// A token of it, masked anew: the mask, and the secret shifted by it.
    #[must_use]
    pub fn token(&self, random: &Random) -> Option<String> {
        let mask = indices(random)?;
        let mut cipher = self.0;
        for (index, mask) in cipher.iter_mut().zip(mask) {
            *index = (*index + mask) % 62;
        }
        Some(text(&mask) + &text(&cipher))
    }
}
