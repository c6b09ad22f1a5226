//! Upgraded connections: after the switch the gateway carries bytes both ways, until a side closes, the session ends,
//! the permit's time is over, or nothing has moved for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::listener::Peer;
use crate::response::Ending;
use crate::streams::{End, Lease};

/// Bytes carried at once in each direction.
const PIECE: usize = 16 * 1024;

/// Carries the stream in a task of its own, since it outlives the request that opened it.
pub(crate) fn carry(
    peer: Arc<Peer>,
    client: OnUpgrade,
    upstream: OnUpgrade,
    mut lease: Lease,
    ending: Ending,
    idle: Duration,
) {
    tokio::spawn(async move {
        // Holds the connection's facts, and with them the shutdown, until the stream is over.
        let _peer = peer;
        let moved = Moved::default();
        let end = tokio::select! {
            biased;
            end = lease.over() => end,
            end = splice(client, upstream, &moved, idle) => end,
        };
        ending.finish(
            end,
            moved.inward.load(Ordering::Relaxed),
            moved.outward.load(Ordering::Relaxed),
        );
    });
}

struct Moved {
    started: Instant,
    last_ms: AtomicU64,
    inward: AtomicU64,
    outward: AtomicU64,
}

impl Default for Moved {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last_ms: AtomicU64::new(0),
            inward: AtomicU64::new(0),
            outward: AtomicU64::new(0),
        }
    }
}

impl Moved {
    fn count(&self, counter: &AtomicU64, bytes: usize) {
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    async fn still(&self, idle: Duration) {
        loop {
            let last = self.started + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let over = last + idle;
            if Instant::now() >= over {
                return;
            }
            tokio::time::sleep_until(over).await;
        }
    }
}

async fn splice(client: OnUpgrade, upstream: OnUpgrade, moved: &Moved, idle: Duration) -> End {
    let (Ok(client), Ok(upstream)) = (client.await, upstream.await) else {
        return End::Failed;
    };
    let (mut client_read, mut client_write) = tokio::io::split(TokioIo::new(client));
    let (mut upstream_read, mut upstream_write) = tokio::io::split(TokioIo::new(upstream));
    let inward = carry_one(&mut client_read, &mut upstream_write, moved, &moved.inward);
    let outward = carry_one(&mut upstream_read, &mut client_write, moved, &moved.outward);
    tokio::select! {
        (one, other) = async { tokio::join!(inward, outward) } => {
            if one && other { End::Closed } else { End::Failed }
        }
        () = moved.still(idle) => End::Idle,
    }
}

/// Carries one direction to its end; `false` if it broke.
async fn carry_one(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Moved,
    counter: &AtomicU64,
) -> bool {
    let mut piece = vec![0; PIECE];
    let clean = loop {
        match from.read(&mut piece).await {
            Ok(0) => break true,
            Ok(read) => {
                // `read` is at most the length of the buffer it was read into.
                let Some(data) = piece.get(..read) else {
                    break false;
                };
                if to.write_all(data).await.is_err() || to.flush().await.is_err() {
                    break false;
                }
                moved.count(counter, read);
            }
            Err(_) => break false,
        }
    };
    // The other side learns that nothing more comes this way.
    to.shutdown().await.is_ok() && clean
}
