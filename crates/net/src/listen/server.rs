//! The listener's threads.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::HeaderMap;
use rustix::net::sockopt::set_tcp_congestion;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::accept::{Accepted, accept};
use super::caps::Caps;
use super::connection::Shared;
use super::draining::Draining;
use super::moving::Neighbours;
use super::{Arrived, Fixed, ListenOptions, Protocol, Service, Threads};
use crate::Worker;

/// Bound sockets that nobody accepts from yet.
pub struct Listener {
    sockets: Vec<TcpListener>,
    options: ListenOptions,
}

impl Listener {
    /// Binds every address of the options. Port 0 takes a free one.
    ///
    /// # Errors
    /// The first address that cannot be bound, named in the error.
    pub fn bind(options: ListenOptions) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(options.addrs.len());
        for addr in &options.addrs {
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"));
            // The standard library sets SO_REUSEADDR and a backlog as long as the kernel allows.
            let socket = TcpListener::bind(addr).map_err(named)?;
            socket.set_nonblocking(true).map_err(named)?;
            if addr.ip().is_loopback() {
                unpaced(&socket);
            }
            sockets.push(socket);
        }
        Ok(Self { sockets, options })
    }

    /// Has every answer say `fields`, unless it says something else under the same name.
    #[must_use]
    pub fn always(mut self, fields: &HeaderMap) -> Self {
        self.options.fixed = Fixed::new(fields);
        self
    }

    /// The addresses that are bound, with the ports that were chosen for 0.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }

    /// Starts the threads. A cancelled `shutdown` stops the accepting, ends idle connections and lets running requests
    /// end within [`ListenOptions::shutdown_timeout`].
    ///
    /// # Errors
    /// When the threads or their runtimes cannot be made.
    pub fn serve<S: Service>(self, service: Arc<S>, shutdown: CancellationToken) -> io::Result<ServerHandle> {
        self.run(shutdown, |worker, options, draining, neighbours| Shared {
            service: Arc::clone(&service),
            worker,
            options,
            draining,
            neighbours,
        })
    }

    /// The same for any protocol: `each` makes what the connections of one worker have in common.
    pub(crate) fn run<P: Protocol>(
        self,
        shutdown: CancellationToken,
        each: impl Fn(Arc<Worker>, Arc<ListenOptions>, Arc<Draining>, Arc<Neighbours>) -> P,
    ) -> io::Result<ServerHandle> {
        let options = Arc::new(self.options);
        let caps = Caps::new(
            options.max_connections,
            options.max_per_peer,
            options.unbounded_peers.clone(),
        );
        let count = match options.threads {
            Threads::PerCore => options.workers.max(1),
            Threads::Shared => 1,
        };
        let runtimes = runtimes(&options, count)?;
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded_channel()).unzip();
        let ids = runtimes.iter().map(|runtime| runtime.handle().id());
        let neighbours = ids.zip(senders.iter().map(UnboundedSender::downgrade));
        let neighbours = Arc::new(Neighbours::new(neighbours));
        let mut threads = Vec::with_capacity(count + 1);
        for (index, (runtime, receiver)) in runtimes.into_iter().zip(receivers).enumerate() {
            let draining = Arc::<Draining>::default();
            let work = Work {
                shutdown: shutdown.clone(),
                draining: Arc::clone(&draining),
                patience: options.shutdown_timeout,
                accepted: receiver,
            };
            let worker = Worker::new(index);
            let (options, neighbours) = (Arc::clone(&options), Arc::clone(&neighbours));
            let protocol = Arc::new(each(worker, Arc::clone(&options), draining, neighbours));
            let name = format!("{}-{index}", options.name);
            let thread = std::thread::Builder::new().name(name);
            threads.push(thread.spawn(move || runtime.block_on(work.run(protocol)))?);
        }
        threads.push(accepting(self.sockets, senders, &caps, &shutdown, options.name)?);
        Ok(ServerHandle {
            threads,
            shutdown,
            caps,
        })
    }
}

/// Connections of this machine with itself are not paced, whatever the system prescribes: there is no network to spare.
/// BBR would set a timer for each segment, which costs more than sending it. Where this cannot be set, they are paced.
fn unpaced(socket: &TcpListener) {
    if let Err(error) = set_tcp_congestion(socket, "reno") {
        tracing::debug!(%error, "connections over loopback keep the system's congestion control");
    }
}

/// A running listener.
pub struct ServerHandle {
    threads: Vec<JoinHandle<()>>,
    shutdown: CancellationToken,
    caps: Arc<Caps>,
}

impl ServerHandle {
    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.caps.count()
    }

    /// Begins the shutdown and waits for its end on a thread that may block.
    pub fn stop(self) {
        self.shutdown.cancel();
        self.join();
    }

    /// Waits for the end on a thread that may block.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the listener panicked");
            }
        }
    }

    /// Begins the shutdown and waits for its end.
    pub async fn drain(self) {
        self.shutdown.cancel();
        // Joining blocks: it is done where that harms nobody.
        let _ = tokio::task::spawn_blocking(move || self.join()).await;
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

fn runtimes(options: &ListenOptions, count: usize) -> io::Result<Vec<Runtime>> {
    let mut runtimes = Vec::with_capacity(count);
    for _ in 0..count {
        let made = match options.threads {
            Threads::PerCore => runtime(),
            Threads::Shared => runtime_of_many(options),
        };
        match made {
            Ok(runtime) => runtimes.push(runtime),
            Err(error) => {
                // Whoever asks may be in a runtime, where no other one may be waited for.
                runtimes.into_iter().for_each(Runtime::shutdown_background);
                return Err(error);
            }
        }
    }
    Ok(runtimes)
}

fn runtime_of_many(options: &ListenOptions) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(options.workers.max(1))
        .thread_name(options.name)
        .enable_io()
        .enable_time()
        .build()
}

fn accepting(
    sockets: Vec<TcpListener>,
    senders: Vec<UnboundedSender<Accepted>>,
    caps: &Arc<Caps>,
    stop: &CancellationToken,
    name: &str,
) -> io::Result<JoinHandle<()>> {
    let runtime = runtime()?;
    let (caps, stop) = (Arc::clone(caps), stop.clone());
    std::thread::Builder::new()
        .name(format!("{name}-accept"))
        .spawn(move || {
            runtime.block_on(async move {
                let mut loops = JoinSet::new();
                for socket in sockets {
                    loops.spawn(accept(socket, senders.clone(), Arc::clone(&caps), stop.clone()));
                }
                drop(senders);
                while loops.join_next().await.is_some() {}
            });
        })
}

/// What one worker does.
struct Work {
    shutdown: CancellationToken,
    draining: Arc<Draining>,
    patience: Duration,
    accepted: UnboundedReceiver<Accepted>,
}

impl Work {
    /// Its life: connections as they come, then the drain.
    async fn run<P: Protocol>(mut self, protocol: Arc<P>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled(), if !self.draining.has_begun() => self.draining.begin(),
                Some(ended) = connections.join_next() => report(ended),
                next = self.accepted.recv() => match next {
                    Some(next) => start(&protocol, next, &mut connections),
                    // The accepting thread has stopped.
                    None => break,
                },
            }
        }
        self.draining.begin();
        let drained = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        };
        if timeout(self.patience, drained).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests that did not end in time were cut off"
            );
            connections.shutdown().await;
        }
    }
}

fn start<P: Protocol>(protocol: &Arc<P>, accepted: Accepted, connections: &mut JoinSet<()>) {
    let Accepted {
        stream,
        peer,
        seat,
        ahead,
    } = accepted;
    match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => {
            let protocol = Arc::clone(protocol);
            connections.spawn(async move {
                let arrived = Arrived { stream, peer, ahead };
                match protocol.serve(arrived).await {
                    Some(moving) => moving.go(peer, seat),
                    None => drop(seat),
                }
            });
        }
        Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a request's handler panicked; its connection was closed");
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::tcp_congestion;

    use super::*;

    #[test]
    fn connections_over_loopback_are_not_paced() {
        let bound = |address: &str| Listener::bind(ListenOptions::new(address.parse().unwrap())).unwrap();
        let of = |socket: &TcpListener| tcp_congestion(socket).unwrap();
        let system = of(&bound("0.0.0.0:0").sockets[0]);
        let prescribed = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
        assert_eq!(system, prescribed.trim());
        assert_eq!(of(&bound("127.0.0.1:0").sockets[0]), "reno");
    }
}
