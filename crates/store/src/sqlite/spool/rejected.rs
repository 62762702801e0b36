//! What the database will never take: kept in a file beside the spool, for a person to look at. **A line is there once,**
//! however often a replay that was cut off is begun again.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Result, Write};
use std::path::PathBuf;

use super::private;

pub(super) struct Rejected {
    path: PathBuf,
    /// With the first line.
    opened: Option<Opened>,
}

struct Opened {
    file: File,
    /// The hashes of the lines that are there.
    known: HashSet<blake3::Hash>,
    /// The file ends within a line, of a process that died while it wrote it.
    is_torn: bool,
}

impl Rejected {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, opened: None }
    }

    /// Comes back when the line is on the disk.
    pub(super) fn put(&mut self, line: &[u8], why: &str) -> Result<()> {
        let opened = match &mut self.opened {
            Some(opened) => opened,
            none => none.insert(Opened::at(&self.path)?),
        };
        let hash = blake3::hash(line);
        if opened.known.contains(&hash) {
            return Ok(());
        }
        tracing::error!(why, path = %self.path.display(), "a record of the spool is put aside");
        if opened.is_torn {
            opened.file.write_all(b"\n")?;
            opened.is_torn = false;
        }
        opened.file.write_all(line)?;
        opened.file.sync_data()?;
        opened.known.insert(hash);
        Ok(())
    }
}

impl Opened {
    fn at(path: &std::path::Path) -> Result<Self> {
        let file = private().read(true).append(true).open(path)?;
        let (mut known, mut line, mut reader) = (HashSet::new(), Vec::new(), BufReader::new(&file));
        let mut is_torn = false;
        while reader.read_until(b'\n', &mut line)? > 0 {
            is_torn = !line.ends_with(b"\n");
            known.insert(blake3::hash(&line));
            line.clear();
        }
        Ok(Self { file, known, is_torn })
    }
}
