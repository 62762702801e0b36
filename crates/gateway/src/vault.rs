//! What workspaces' own provider keys are sealed with: AES-256-GCM-SIV under a master key that the settings
//! point to. Each sealed key is bound to its row: **what is moved to another workspace, provider, id or host
//! does not open.**
//!
//! Master keys have versions. The highest seals; the others open what they have sealed, until
//! `tokenrouter providers rotate` has sealed it anew.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::collections::BTreeMap;
use tokenrouter_store::{ProviderKeyRow, SealedKey};

/// Bytes of a master key.
const KEY_LENGTH: usize = 32;
const TAG_LENGTH: usize = 16;

/// A master key, as 64 hexadecimal digits or in base64.
pub struct MasterKey(Zeroizing<[u8; KEY_LENGTH]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

impl Clone for MasterKey {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a master key must be 32 random bytes in base64 or as hexadecimal digits, such as `openssl rand -base64 32` makes"
)]
pub struct NoMasterKey;

impl MasterKey {
    /// # Errors
    /// When the text is not 32 bytes in either writing.
    pub fn parse(text: &SecretString) -> Result<Self, NoMasterKey> {
        let text = text.expose_secret().trim();
        let mut key = Zeroizing::new([0_u8; KEY_LENGTH]);
        if text.len() == 2 * KEY_LENGTH {
            for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                // A number may have a sign, digits have none.
                let digits = std::str::from_utf8(digits).map_err(|_| NoMasterKey)?;
                let digits = Some(digits).filter(|digits| !digits.starts_with('+')).ok_or(NoMasterKey)?;
                *byte = u8::from_str_radix(digits, 16).map_err(|_| NoMasterKey)?;
            }
            return Ok(Self(key));
        }
        // The decoder wants room for whole groups of three.
        let mut room = Zeroizing::new([0_u8; KEY_LENGTH + 4]);
        let length = STANDARD.decode_slice(text, &mut *room).map_err(|_| NoMasterKey)?;
        if length != KEY_LENGTH {
            return Err(NoMasterKey);
        }
        key.copy_from_slice(&room[..KEY_LENGTH]);
        Ok(Self(key))
    }
}

/// What a sealed key belongs to.
#[derive(Clone, Copy)]
pub struct Binding<'a> {
    pub workspace_id: i64,
    pub provider: &'a str,
    pub id: i64,
    pub origin: &'a str,
}

impl<'a> Binding<'a> {
    #[must_use]
    pub fn of(row: &'a ProviderKeyRow) -> Self {
        Self { workspace_id: row.workspace_id, provider: &row.provider, id: row.id, origin: &row.origin }
    }

    fn data(&self, version: u32) -> Vec<u8> {
        // As a JSON array no part can run into the next.
        json!(["tokenrouter provider key", version, self.workspace_id, self.provider, self.id, self.origin])
            .to_string()
            .into_bytes()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error(
        "there is no master key to encrypt provider keys with: set `vault.master_keys`, such as \"1=env:TOKENROUTER_MASTER_KEY\""
    )]
    NoKey,
    #[error("it is encrypted with master key {0}, which `vault.master_keys` does not have")]
    UnknownVersion(u32),
    #[error("master key {0} does not open it: the master key is not the one that encrypted it, or the row was changed")]
    DoesNotOpen(u32),
    #[error("the key could not be encrypted")]
    DoesNotSeal,
}

/// The master keys by version; none at all is a vault that opens and seals nothing.
#[derive(Default)]
pub struct Vault {
    keys: BTreeMap<u32, RandomizedNonceKey>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault(versions {:?})", self.keys.keys())
    }
}

impl Vault {
    #[must_use]
    pub fn new(keys: &BTreeMap<u32, MasterKey>) -> Self {
        // The one error is a key of another length.
        let sealer = |(version, key): (&u32, &MasterKey)| {
            RandomizedNonceKey::new(&AES_256_GCM_SIV, &*key.0).ok().map(|key| (*version, key))
        };
        Self { keys: keys.iter().filter_map(sealer).collect() }
    }

    /// The version that seals.
    #[must_use]
    pub fn newest(&self) -> Option<u32> {
        self.keys.keys().next_back().copied()
    }

    /// # Errors
    /// Without a master key.
    pub fn seal(&self, binding: &Binding<'_>, key: &SecretString) -> Result<SealedKey, VaultError> {
        let (version, sealer) = self.keys.last_key_value().ok_or(VaultError::NoKey)?;
        let plain = key.expose_secret().as_bytes();
        // With room for the tag: growing would leave a copy of the plain key behind.
        let mut sealed = Vec::with_capacity(plain.len() + TAG_LENGTH);
        sealed.extend_from_slice(plain);
        let data = Aad::from(binding.data(*version));
        let nonce = sealer.seal_in_place_append_tag(data, &mut sealed).map_err(|_| VaultError::DoesNotSeal)?;
        let bytes = [nonce.as_ref().as_slice(), &sealed].concat();
        Ok(SealedKey { master_key_version: *version, bytes })
    }

    /// # Errors
    /// When the master key is not here, or the key is not the one that was sealed for this binding.
    pub fn open(&self, binding: &Binding<'_>, sealed: &SealedKey) -> Result<SecretString, VaultError> {
        let version = sealed.master_key_version;
        let Some(opener) = self.keys.get(&version) else {
            return Err(if self.keys.is_empty() { VaultError::NoKey } else { VaultError::UnknownVersion(version) });
        };
        let wrong = VaultError::DoesNotOpen(version);
        let (nonce, bytes) = sealed.bytes.split_first_chunk::<NONCE_LEN>().ok_or(wrong.clone())?;
        let mut bytes = Zeroizing::new(bytes.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain =
            opener.open_in_place(nonce, Aad::from(binding.data(version)), &mut bytes).map_err(|_| wrong.clone())?;
        std::str::from_utf8(plain).map(SecretString::from).map_err(|_| wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn vault(versions: &[u32]) -> Vault {
        let key = |version: u32| MasterKey::parse(&HEX.replace("00", &format!("{version:02x}")).into()).unwrap();
        Vault::new(&versions.iter().map(|version| (*version, key(*version))).collect())
    }

    const HERE: Binding<'_> =
        Binding { workspace_id: 1, provider: "openai", id: 7, origin: "https://api.openai.com:443" };

    #[test]
    fn a_master_key_is_read_in_both_writings_and_nothing_else_is_one() {
        let hex = MasterKey::parse(&HEX.into()).unwrap();
        let base64 = MasterKey::parse(&STANDARD.encode(*hex.0).into()).unwrap();
        assert_eq!(*hex.0, *base64.0);
        for wrong in [
            "",
            "short",
            &HEX[..62],
            &format!("{HEX}00"),
            &"zz".repeat(32),
            &"+f".repeat(32),
            &STANDARD.encode([1; 31]),
        ] {
            assert!(MasterKey::parse(&wrong.into()).is_err(), "{wrong}");
        }
        assert!(!format!("{hex:?}").contains("01"));
    }

    #[test]
    fn what_is_sealed_opens_where_it_belongs_and_nowhere_else() {
        let vault = vault(&[1]);
        let sealed = vault.seal(&HERE, &"sk-secret".into()).unwrap();
        assert_eq!(vault.open(&HERE, &sealed).unwrap().expose_secret(), "sk-secret");
        for elsewhere in [
            Binding { workspace_id: 2, ..HERE },
            Binding { provider: "mistral", ..HERE },
            Binding { id: 8, ..HERE },
            Binding { origin: "https://evil.test:443", ..HERE },
        ] {
            assert_eq!(vault.open(&elsewhere, &sealed).err(), Some(VaultError::DoesNotOpen(1)));
        }
        for place in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[place] ^= 1;
            assert!(vault.open(&HERE, &changed).is_err(), "byte {place}");
        }
        assert!(vault.open(&HERE, &SealedKey { bytes: Vec::new(), ..sealed.clone() }).is_err());
        assert_ne!(sealed.bytes, vault.seal(&HERE, &"sk-secret".into()).unwrap().bytes);
    }

    #[test]
    fn the_highest_version_seals_and_the_others_open() {
        let (old, both, new) = (vault(&[1]), vault(&[1, 2]), vault(&[2]));
        let sealed = old.seal(&HERE, &"sk-secret".into()).unwrap();
        assert!(both.open(&HERE, &sealed).is_ok());
        assert_eq!(new.open(&HERE, &sealed).err(), Some(VaultError::UnknownVersion(1)));
        assert_eq!(both.seal(&HERE, &"sk-secret".into()).unwrap().master_key_version, 2);
        assert_eq!(Vault::default().open(&HERE, &sealed).err(), Some(VaultError::NoKey));
        assert_eq!(Vault::default().seal(&HERE, &"sk".into()).err(), Some(VaultError::NoKey));
        // Said to be of a version that it is not of.
        assert!(both.open(&HERE, &SealedKey { master_key_version: 2, ..sealed }).is_err());
    }
}
