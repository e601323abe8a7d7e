//! What a connection may take, from accept to close: a place among others, time and bytes, whatever it is used for.
//!
//! - [`limits`]: how many connections there may be, of all and of one address, and who goes when there is no place left.
//! - [`life`]: what a connection is waiting for, since when, and until when it may.
//! - [`stream`]: the stream between the socket and HTTP, which counts and which ends when it must.
//! - [`request`]: the middleware that tells of each request on it.
//! - [`serve`]: from a socket to HTTP, over TLS where a certificate is given.

pub mod life;
pub mod limits;
pub mod request;
pub mod serve;
pub mod stream;
