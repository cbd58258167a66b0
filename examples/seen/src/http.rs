//! As much of HTTP as this service needs. Any library would do.

use std::io;

use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;

/// Answers the one request of a connection: a path in, a status and a body out.
pub(crate) async fn answer(
    stream: TcpStream,
    service: impl AsyncFnOnce(String) -> (&'static str, String),
) -> io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.clone().take(8_192));
    reader.read_line(&mut line).await?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    // The rest of what was asked, so that the client is not cut off while it sends it.
    while line.len() > 2 {
        line.clear();
        reader.read_line(&mut line).await?;
    }
    let (status, body) = service(path).await;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all((head + &body).as_bytes()).await?;
    stream.close().await
}
