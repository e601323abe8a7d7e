//! From a socket to HTTP, over TLS where a certificate is given.

use std::{fmt, io, net, sync::Arc};

use actix_http::{HttpService, Request, Response, error::DispatchError};
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{Error, body::MessageBody, dev::AppConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

use super::{
    life::{HEAD, KEEP_ALIVE, LINGER},
    limits::{COMING, Connections, Place},
    stream::Bounded,
};

/// A connection as HTTP reads it: bare, or with TLS around it.
type Stream = Either<Bounded<TcpStream>, Box<TlsStream<Bounded<TcpStream>>>>;

/// Serves `app` at that listener, within what connections may take.
pub(crate) fn listen<F, I, S, B>(
    builder: ServerBuilder,
    listener: net::TcpListener,
    workers: usize,
    connections: Connections,
    tls: Option<TlsAcceptor>,
    app: F,
) -> io::Result<ServerBuilder>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    B: MessageBody + 'static,
{
    let address = listener.local_addr()?;
    let drain = builder.graceful_shutdown_signal();
    // A worker that is busy leaves the others in the system's queue, where they take none of the files.
    let builder = builder.max_concurrent_connections(connections.most() + (COMING / workers).max(1));
    builder.listen("http", listener, move || {
        let (connections, tls, drain) = (connections.clone(), tls.clone(), drain.clone());
        let app = app().into_factory().map_err(|error| error.into().error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let drain = drain.clone();
                async move { drain.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD)
            .client_disconnect_timeout(LINGER)
            .local_addr(address)
            .on_connect_ext(|stream: &Stream, data| drop(data.insert(Arc::clone(place(stream)))))
            .h1(map_config(app, |()| AppConfig::default()));
        fn_service(move |socket: TcpStream| accept(socket, connections.clone(), tls.clone())).and_then(http)
    })
}

/// Takes a connection; an error ends it without a word.
async fn accept(
    socket: TcpStream,
    connections: Connections,
    tls: Option<TlsAcceptor>,
) -> Result<(Stream, Option<net::SocketAddr>), DispatchError> {
    let peer = socket.peer_addr()?;
    let Some(place) = connections.admit(peer.ip().to_canonical()) else {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "no place is left").into());
    };
    socket.set_nodelay(true)?;
    let stream = Bounded::new(socket, place);
    let stream = match tls {
        None => Either::Left(stream),
        Some(tls) => Either::Right(Box::new(tls.accept(stream).await?)),
    };
    Ok((stream, Some(peer)))
}

fn place(stream: &Stream) -> &Place {
    match stream {
        Either::Left(bare) => bare.place(),
        Either::Right(tls) => tls.get_ref().0.place(),
    }
}
