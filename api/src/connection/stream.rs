//! The stream between the socket and HTTP, which counts what comes, and ends when it must.

use std::{
    io::{Error, ErrorKind, IoSlice, Result},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::limits::Place;

/// A stream that keeps within the budget of its connection.
#[derive(Debug)]
pub struct Bounded<S> {
    stream: S,
    place: Place,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, place: Place) -> Self {
        Self { stream, place }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    fn check(&self, context: &Context<'_>) -> Result<()> {
        match self.place.is_cut(context.waker()) {
            true => Err(Error::new(ErrorKind::ConnectionAborted, "its time is over, or others need its place")),
            false => Ok(()),
        }
    }

    /// Tells of a write that waits for the client.
    fn told<T>(&self, poll: Poll<Result<T>>) -> Poll<Result<T>> {
        if poll.is_pending() {
            self.place.stall();
        }
        poll
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        match self.place.takes(buffer.filled().len() - before) {
            true => Poll::Ready(Ok(())),
            false => Poll::Ready(Err(Error::new(ErrorKind::ConnectionAborted, "it sends more than it may"))),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.check(context)?;
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.told(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.check(context)?;
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.told(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.check(context)?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.place.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
