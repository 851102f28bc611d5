//! A client that does no more than it is told: it reads when asked to, and answers nothing by itself.

use etcd_client::proto::{PbWatchRequest, PbWatchRequestUnion};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

pub(super) const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

pub(super) const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const INITIAL_WINDOW_SIZE: u16 = 4;
const LARGEST_WINDOW: u32 = 0x7fff_ffff;
const FIRST_WINDOW: u32 = 65_535;
/// Of the one call.
const STREAM: u32 = 1;

/// One side of a connection, in HTTP/2.
pub(super) struct Raw(DuplexStream);

pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) payload: Vec<u8>,
}

impl Raw {
    /// Says hello, and takes all that may come: nothing is held back but by the connection itself.
    pub(super) async fn open(connection: DuplexStream) -> Self {
        let mut raw = Self(connection);
        raw.0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let mut setting = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        setting.extend(LARGEST_WINDOW.to_be_bytes());
        raw.send(SETTINGS, 0, 0, &setting).await;
        let more = LARGEST_WINDOW - FIRST_WINDOW;
        raw.send(WINDOW_UPDATE, 0, 0, &more.to_be_bytes()).await;
        raw
    }

    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> Frame {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.unwrap();
        Frame {
            kind: head[3],
            flags: head[4],
            payload,
        }
    }

    /// Watches a key, from a revision on, and reads until it is answered that this is so.
    pub(super) async fn watch(&mut self, key: &str, start: i64) {
        let mut headers = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/etcdserverpb.Watch/Watch"),
            (":authority", "embedded"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            // A literal, not to be indexed, with a name of its own.
            headers.push(0);
            for text in [name, value] {
                headers.push(u8::try_from(text.len()).unwrap());
                headers.extend(text.as_bytes());
            }
        }
        self.send(HEADERS, END_HEADERS, STREAM, &headers).await;
        // The stubs do not export the type's name.
        let mut union = PbWatchRequestUnion::CreateRequest(Default::default());
        if let PbWatchRequestUnion::CreateRequest(create) = &mut union {
            (create.key, create.start_revision) = (key.into(), start);
        }
        let request = PbWatchRequest {
            request_union: Some(union),
        };
        let request = request.encode_to_vec();
        let mut message = vec![0];
        message.extend(u32::try_from(request.len()).unwrap().to_be_bytes());
        message.extend(request);
        self.send(DATA, 0, STREAM, &message).await;
        while self.next().await.kind != DATA {}
    }
}
