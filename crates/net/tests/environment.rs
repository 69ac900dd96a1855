//! Proxy settings of the environment. The test runs itself in a process that has them.

use std::process::Command;
use std::time::Duration;

use sallyport_net::egress::{Egress, EgressPolicy, Fetch, Reach};
use sallyport_net::http1::RequestHead;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

#[test]
fn sr_07_proxy_settings_of_the_environment_are_not_looked_at() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_fetch_in_that_environment", "--ignored"]);
    // Port 9 refuses: whoever asks there gets nothing.
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        child.env(name, "http://127.0.0.1:9");
    }
    let output = child.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[tokio::test]
#[ignore = "it is run by the test above, in an environment with proxies"]
async fn a_fetch_in_that_environment() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
    });
    let head = RequestHead::new(http::Method::GET);
    let time = Duration::from_secs(10);
    let fetch = Fetch {
        head,
        url: &url,
        reach: Reach::Operator,
        body: &[],
        limit: 10,
        time,
    };
    assert_eq!(
        Egress::new(EgressPolicy::default())
            .fetch(fetch)
            .await
            .unwrap()
            .status,
        200
    );
}
