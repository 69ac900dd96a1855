//! Over standard input and output.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use super::Server;

/// Serves one client until its end.
///
/// # Errors
/// When standard input or output breaks.
pub async fn stdio() -> anyhow::Result<()> {
    let server = Arc::new(Server::default());
    let (out, mut said) = mpsc::unbounded_channel::<serde_json::Value>();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut to = tokio::io::stdout();
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let Ok(message) = serde_json::from_str(&line) else { continue };
                let (server, out) = (Arc::clone(&server), out.clone());
                tokio::spawn(async move {
                    if let Some(answer) = server.take(message, out.clone(), out.clone()).await {
                        // The client has gone.
                        let _ = out.send(answer);
                    }
                });
            }
            Some(message) = said.recv() => {
                to.write_all(format!("{message}\n").as_bytes()).await?;
                to.flush().await?;
            }
        }
    }
}
