//! Calls in the words of etcd's protocol, so that also what no client library would send can be sent,
//! and each status comes back as the server gave it.

use std::net::SocketAddr;
use std::time::Duration;

use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// Longer than any answer takes, also on a machine that has much else to do; only a server that is
/// wrong lets it pass.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const QUEUE: usize = 64;

pub async fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .tcp_nodelay(true)
        .connect()
        .await
        .unwrap()
}

fn grpc(channel: &Channel) -> Grpc<Channel> {
    Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX)
}

/// One request, one answer.
pub async fn unary<Q, A>(channel: &Channel, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut grpc = grpc(channel);
    let call = async {
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(path);
        grpc.unary(Request::new(request), path, ProstCodec::<Q, A>::default())
            .await
    };
    match tokio::time::timeout(ANSWER_WITHIN, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::unknown(format!("SILENT for {ANSWER_WITHIN:?}"))),
    }
}

/// What came on a stream so far.
#[derive(Debug)]
pub struct Received<A> {
    pub answers: Vec<A>,
    /// How it ended, if it did.
    pub ended: Option<String>,
}

/// A stream in both directions, read as long as it is there.
#[derive(Debug)]
pub struct Duplex<Q, A> {
    requests: mpsc::Sender<Q>,
    received: watch::Receiver<Received<A>>,
    reader: JoinHandle<()>,
}

impl<Q, A> Duplex<Q, A>
where
    Q: Message + 'static,
    A: Message + Default + Sync + 'static,
{
    pub fn open(channel: &Channel, path: &'static str) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let (sender, received) = watch::channel(Received {
            answers: Vec::new(),
            ended: None,
        });
        let mut grpc = grpc(channel);
        let reader = tokio::spawn(async move {
            let end = async {
                grpc.ready()
                    .await
                    .map_err(|error| Status::unavailable(error.to_string()))?;
                // A server sends its headers with its first answer, so this waits for a request.
                let mut answers = grpc
                    .streaming(
                        Request::new(ReceiverStream::new(queue)),
                        PathAndQuery::from_static(path),
                        ProstCodec::<Q, A>::default(),
                    )
                    .await?
                    .into_inner();
                while let Some(answer) = answers.message().await? {
                    sender.send_modify(|received| received.answers.push(answer));
                }
                Ok::<(), Status>(())
            }
            .await;
            let end = match end {
                Ok(()) => "the server ended the stream".to_owned(),
                Err(status) => format!("{:?}: {}", status.code(), status.message()),
            };
            sender.send_modify(|received| received.ended = Some(end));
        });
        Self {
            requests,
            received,
            reader,
        }
    }

    pub async fn send(&self, request: Q) {
        // The reader says how the stream ended, when it did.
        let _ = self.requests.send(request).await;
    }

    pub fn received(&self) -> watch::Ref<'_, Received<A>> {
        self.received.borrow()
    }

    /// Waits until what came meets a condition.
    ///
    /// # Errors
    /// How the stream ended before, or that it is silent.
    pub async fn wait(&mut self, mut met: impl FnMut(&[A]) -> bool) -> Result<(), String> {
        let wait = self
            .received
            .wait_for(|received| met(&received.answers) || received.ended.is_some());
        match tokio::time::timeout(ANSWER_WITHIN, wait).await {
            Ok(Ok(received)) if met(&received.answers) => Ok(()),
            Ok(Ok(received)) => Err(received.ended.clone().unwrap_or_default()),
            Ok(Err(_)) => Err("the reader of the stream is gone".to_owned()),
            Err(_) => Err(format!("SILENT for {ANSWER_WITHIN:?}")),
        }
    }
}

impl<Q, A> Drop for Duplex<Q, A> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
