//! The middleware that tells a connection of each request on it, and ends one whose request was answered before all of it
//! had come.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::ConnectionType,
    middleware::Next,
    web::Bytes,
};
use futures::{FutureExt, Stream, StreamExt};

use super::life::Connection;

/// The outermost middleware but for what observes.
pub async fn bound(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(connection) = request.conn_data::<Arc<Connection>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let body = match request.take_payload() {
        Payload::None => None,
        payload => {
            let body = Body::new(payload, Arc::clone(&connection));
            request.set_payload(Payload::Stream { payload: Box::pin(body.clone()) });
            Some(body)
        }
    };
    connection.begin_request(body.is_some());
    let mut response = next.call(request).await?.map_into_boxed_body();
    let has_ended = match body {
        Some(body) => body.take_what_is_there().await,
        None => true,
    };
    if !has_ended {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    connection.answer(has_ended);
    Ok(match response.response().body().size() {
        BodySize::Stream => {
            connection.answer_part(true);
            response.map_body(|_, body| Answer { body, connection }).map_into_boxed_body()
        }
        _ => response,
    })
}

/// An answer's body: between its parts, if it has several, nobody waits for the client.
struct Answer {
    body: BoxBody,
    connection: Arc<Connection>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(part) = &polled {
            self.connection.answer_part(matches!(part, Some(Ok(_))));
        }
        polled
    }
}

/// A request's body, for whoever reads it, and for what is to be done about the rest.
#[derive(Clone)]
struct Body(Rc<RefCell<Inner>>);

struct Inner {
    payload: Payload,
    connection: Arc<Connection>,
    has_ended: bool,
}

impl Body {
    fn new(payload: Payload, connection: Arc<Connection>) -> Self {
        Self(Rc::new(RefCell::new(Inner { payload, connection, has_ended: false })))
    }

    /// Takes what has come already, and waits for no more; whether that was all.
    async fn take_what_is_there(mut self) -> bool {
        // What came together with the head is read after the first look at the request.
        tokio::task::yield_now().await;
        while let Some(Some(Ok(_))) = self.next().now_or_never() {}
        self.0.borrow().has_ended
    }
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inner = self.0.borrow_mut();
        let polled = inner.payload.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None)) && !inner.has_ended {
            inner.has_ended = true;
            inner.connection.end_body();
        }
        polled
    }
}
