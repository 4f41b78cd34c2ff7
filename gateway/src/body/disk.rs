//! Bodies that are too long for memory wait on disk for their turn.

use std::{io, sync::Arc};

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::body::{AHEAD, ReadError, SLOWEST};

/// The disk space that all such bodies share.
pub(crate) struct Disk {
    /// Free space, in pieces of [`AHEAD`].
    free: Arc<Semaphore>,
}

/// A file without a name, and its share of the disk space. Dropping it frees both.
struct Spooled {
    file: File,
    taken: OwnedSemaphorePermit,
}

impl Disk {
    /// Allows `all` bytes on disk.
    pub(crate) fn new(all: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(all / AHEAD)),
        }
    }

    /// Reads the rest of a body that began with `begun`, and returns the whole body.
    pub(crate) async fn keep(
        &self,
        begun: Bytes,
        rest: &mut BodyDataStream,
    ) -> Result<Body, ReadError> {
        let file = tempfile::tempfile().map_err(ReadError::Disk)?;
        let mut spooled = Spooled {
            file: File::from_std(file),
            taken: self.take(begun.len().div_ceil(AHEAD))?,
        };
        let mut size = begun.len();
        spooled
            .file
            .write_all(&begun)
            .await
            .map_err(ReadError::Disk)?;
        drop(begun);
        loop {
            let goal = size + AHEAD;
            let reading = self.read_to(goal, &mut size, rest, &mut spooled);
            match timeout(SLOWEST, reading).await {
                Ok(more) => {
                    if !more? {
                        break;
                    }
                }
                Err(_) => return Err(ReadError::Slow),
            }
        }
        spooled.file.rewind().await.map_err(ReadError::Disk)?;
        Ok(Body::from_stream(stream::try_unfold(spooled, read)))
    }

    /// Reads on until there is so much. Returns whether there may be more.
    async fn read_to(
        &self,
        goal: usize,
        size: &mut usize,
        rest: &mut BodyDataStream,
        spooled: &mut Spooled,
    ) -> Result<bool, ReadError> {
        spooled.taken.merge(self.take(1)?);
        while *size < goal {
            let Some(piece) = rest.next().await else {
                return Ok(false);
            };
            let piece = piece.map_err(ReadError::Broken)?;
            *size += piece.len();
            spooled
                .file
                .write_all(&piece)
                .await
                .map_err(ReadError::Disk)?;
        }
        Ok(true)
    }

    fn take(&self, pieces: usize) -> Result<OwnedSemaphorePermit, ReadError> {
        let pieces = u32::try_from(pieces).map_err(|_| ReadError::Full)?;
        let free = Arc::clone(&self.free);
        free.try_acquire_many_owned(pieces)
            .map_err(|_| ReadError::Full)
    }
}

async fn read(mut spooled: Spooled) -> io::Result<Option<(Bytes, Spooled)>> {
    let mut piece = BytesMut::with_capacity(PIECE);
    let read = spooled.file.read_buf(&mut piece).await?;
    Ok((read > 0).then(|| (piece.freeze(), spooled)))
}

const PIECE: usize = 256 * 1024;
