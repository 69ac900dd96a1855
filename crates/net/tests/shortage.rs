//! A process that runs out of file descriptors. It has a test binary of its own: the limit is the whole process's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sallyport_net::{Inbound, ListenOptions, Listener, Response, Service, Worker, respond};
use tokio_util::sync::CancellationToken;

struct Hello;

impl Service for Hello {
    async fn call(&self, _: &Arc<Worker>, _: Inbound) -> Response {
        respond::text(http::StatusCode::OK, "hello")
    }
}

fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    #[expect(clippy::disallowed_methods, reason = "the test is the client")]
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

fn ask(mut stream: &TcpStream, connection: &str) -> std::io::Result<String> {
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n"
    )?;
    let mut answer = String::new();
    let mut byte = [0; 1];
    while !answer.ends_with("hello") {
        stream.read_exact(&mut byte)?;
        answer.extend(byte.map(char::from));
    }
    Ok(answer)
}

#[test]
fn ht_13_accepting_goes_on_after_the_descriptors_ran_out() {
    let mut options = ListenOptions::new("127.0.0.1:0".parse().unwrap());
    options.workers = 1;
    let listener = Listener::bind(options).unwrap();
    let addr = listener.local_addrs()[0];
    let handle = listener.serve(Arc::new(Hello), CancellationToken::new()).unwrap();
    let first = connect(addr).unwrap();
    ask(&first, "keep-alive").unwrap();

    let before = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(64),
            maximum: before.maximum,
        },
    )
    .unwrap();
    // Both ends live in this process: soon neither we nor the listener get a descriptor.
    let mut held = Vec::new();
    while let Ok(stream) = connect(addr) {
        held.push(stream);
    }
    assert!(held.len() < 64);
    assert!(
        ask(&first, "keep-alive").unwrap().starts_with("HTTP/1.1 200"),
        "who is connected is served"
    );

    drop(held);
    let again = loop {
        if let Ok(stream) = connect(addr) {
            break stream;
        }
        std::thread::yield_now();
    };
    assert!(
        ask(&again, "close").unwrap().starts_with("HTTP/1.1 200"),
        "new ones are accepted again"
    );
    setrlimit(Resource::Nofile, before).unwrap();
    handle.stop();
}
