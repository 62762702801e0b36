//! What can go wrong in the store. Errors are cloneable, since one failed commit is everyone's in its
//! batch, and never carry a value that was being written: no key, no prompt, no URL with a password.

/// The store's result.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be used now: busy beyond the time-out, closed, or its thread is gone.
    /// Trying again later may help.
    #[error("the database is unavailable: {reason}")]
    Unavailable { reason: String },
    /// No room left on the device that holds the database.
    #[error("the database's disk is full")]
    DiskFull,
    /// The operating system refused: no permission, no such folder, an I/O error.
    #[error("the database's file cannot be read or written: {reason}")]
    Io { reason: String },
    /// The file is not a database, is damaged, or holds a value that this program did not write.
    #[error("the database is damaged: {reason}")]
    Corrupt { reason: String },
    /// The change contradicts what is there (a key that exists, a workspace that does not), or is none that could be
    /// stored anywhere: too long, of another type.
    #[error("the change conflicts with what is stored: {reason}")]
    Conflict { reason: String },
    /// A newer program has migrated this database.
    #[error(
        "the database has schema version {found}, and this program knows versions up to {known}: \
         it was written by a newer tokenrouter; run that version, or restore a backup"
    )]
    NewerSchema { found: i64, known: i64 },
    /// This program cannot open such a database.
    #[error("unsupported database: {reason}")]
    Unsupported { reason: String },
    /// A fault of this program.
    #[error("internal database error: {reason}")]
    Internal { reason: String },
}

impl StoreError {
    /// Whether the database itself is the matter, so that every other write would fail alike.
    pub(crate) fn concerns_whole_database(&self) -> bool {
        // What nobody has foreseen is waited for too, rather than that what it was met with is given up.
        !matches!(self, Self::Conflict { .. })
    }

    pub(crate) fn closed() -> Self {
        Self::Unavailable { reason: "it has been closed".into() }
    }
}
