//! Which database a `--database` value means. The value may hold a password, so no error repeats it.

use std::path::PathBuf;

use crate::error::{Result, StoreError};

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    SqliteFile(PathBuf),
    /// Gone when the store is closed; for tests.
    SqliteMemory,
}

impl DatabaseUrl {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let path = match url.split_once(':') {
            Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
            Some(("postgres" | "postgresql", _)) => {
                return Err(unsupported(
                    "this version keeps its data in SQLite only; PostgreSQL is planned. \
                     hint: --database sqlite:PATH",
                ));
            }
            // One letter is a drive.
            Some((scheme, _)) if scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                return Err(unsupported("the scheme of the URL is not known. hint: --database sqlite:PATH"));
            }
            _ => url,
        };
        match path {
            "" => Err(unsupported("the path is empty. hint: --database sqlite:PATH")),
            ":memory:" => Ok(Self::SqliteMemory),
            path => Ok(Self::SqliteFile(PathBuf::from(path))),
        }
    }
}

/// Whether a database can be where the URL says, without looking whether there is one.
///
/// # Errors
/// What is wrong with it; the URL is not repeated.
pub fn check_url(url: &str) -> Result<()> {
    DatabaseUrl::parse(url).map(|_| ())
}

fn unsupported(reason: &str) -> StoreError {
    StoreError::Unsupported { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Result<DatabaseUrl> {
        Ok(DatabaseUrl::SqliteFile(PathBuf::from(path)))
    }

    #[test]
    fn a_path_is_a_sqlite_file_with_or_without_the_scheme() {
        assert_eq!(DatabaseUrl::parse("sqlite:/var/tr.db"), file("/var/tr.db"));
        assert_eq!(DatabaseUrl::parse("sqlite:///var/tr.db"), file("/var/tr.db"));
        assert_eq!(DatabaseUrl::parse("sqlite:data/tr.db"), file("data/tr.db"));
        assert_eq!(DatabaseUrl::parse("data/tr.db"), file("data/tr.db"));
        assert_eq!(DatabaseUrl::parse("C:\\tr.db"), file("C:\\tr.db"));
    }

    #[test]
    fn memory_is_a_database_of_its_own() {
        assert_eq!(DatabaseUrl::parse("sqlite::memory:"), Ok(DatabaseUrl::SqliteMemory));
    }

    #[test]
    fn what_cannot_be_opened_is_refused_without_repeating_it() {
        for url in [
            "postgres://u:hunter2@db/x",
            "postgresql://u:hunter2@db/x",
            "mysql://u:hunter2@db/x",
            "nonsense:",
            "sqlite:",
            "",
        ] {
            let error = DatabaseUrl::parse(url).unwrap_err();
            assert!(matches!(error, StoreError::Unsupported { .. }), "{url}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
