//! Between SQLite's values and errors and ours.

use rusqlite::types::Type;
use rusqlite::{Error, ErrorCode};
use serde_json::Value;

use crate::error::StoreError;

impl From<Error> for StoreError {
    /// SQLite's messages name tables, columns and statements, never a bound value.
    fn from(error: Error) -> Self {
        let reason = error.to_string();
        match error {
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..) => Self::Corrupt { reason },
            Error::SqliteFailure(..) | Error::SqlInputError { .. } => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory) => {
                    Self::Unavailable { reason }
                }
                Some(ErrorCode::DiskFull) => Self::DiskFull,
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { reason },
                Some(
                    ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::PermissionDenied
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::NoLargeFileSupport,
                ) => Self::Io { reason },
                Some(
                    ErrorCode::ConstraintViolation
                    | ErrorCode::TooBig
                    | ErrorCode::TypeMismatch
                    | ErrorCode::ParameterOutOfRange,
                ) => Self::Conflict { reason },
                _ => Self::Internal { reason },
            },
            _ => Self::Internal { reason },
        }
    }
}

/// SQLite's integers are signed.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The inverse of [`signed`] over what it gives.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// A column of JSON text.
pub(super) fn json(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Value> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| wrong(column, error))
}

/// JSON in a column that is not what it should be.
pub(super) fn wrong(column: usize, error: serde_json::Error) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
