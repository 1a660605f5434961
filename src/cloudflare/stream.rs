//! Bodies on the runtime's side: a visitor's, the origin's, and stored ones.

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use web_sys::{ReadableStream, ReadableStreamDefaultReader, Response};

use crate::base::time::Millis;
use crate::engine::port::{OriginError, StoreError};

use super::glue::{self, GatheredBody};

/// How long the first piece of a body that may be packed can take.
const FIRST_PIECE: Millis = Millis(10_000);

type StreamReader = Option<ReadableStreamDefaultReader>;

/// A body on the runtime's side.
pub(super) enum EdgeStream {
    /// A visitor's request body.
    Request(ReadableStream, StreamReader),
    /// An answer of the origin, its body unread or being read.
    Response(Response, StreamReader),
    /// An answer of the origin that is kept whole: it is read into one buffer.
    Gathered(Response, GatheredBody),
    /// What the colo's cache holds, unread or being read; and how much of it is to come.
    Stored(Response, StreamReader, u64),
    /// What was read together with its head.
    Bytes(Uint8Array),
}

impl EdgeStream {
    /// The next piece; none at the end.
    pub(super) async fn read(
        &mut self,
        timeout: Millis,
    ) -> Result<Option<Uint8Array>, OriginError> {
        let broken = |_: JsValue| OriginError::Broken;
        let reader = match self {
            Self::Request(stream, reader) => {
                if reader.is_none() {
                    *reader = glue::reader_of_stream(stream).map_err(broken)?;
                }
                reader
            }
            Self::Response(response, reader) | Self::Stored(response, reader, _) => {
                if reader.is_none() {
                    *reader = glue::reader_of(response).map_err(broken)?;
                }
                reader
            }
            Self::Gathered(_, body) => {
                let piece = glue::gather_piece(body, timeout.0 as f64).await;
                return piece.map_err(|error| body_error(&error));
            }
            Self::Bytes(bytes) => {
                let bytes = std::mem::replace(bytes, Uint8Array::new_with_length(0));
                return Ok(Some(bytes).filter(|bytes| bytes.length() > 0));
            }
        };
        let piece = match reader {
            Some(reader) => glue::read_piece(reader, timeout.0 as f64).await,
            None => Ok(None),
        };
        let piece = piece.map_err(|error| body_error(&error))?;
        if let Self::Stored(_, _, left) = self {
            let length = piece.as_ref().map_or(0, |piece| u64::from(piece.length()));
            *left = left.checked_sub(length).ok_or(OriginError::Broken)?;
            if piece.is_none() && *left > 0 {
                return Err(OriginError::Broken);
            }
        }
        Ok(piece)
    }

    /// All of a stored body.
    pub(super) async fn whole(self, length: u64) -> Result<Uint8Array, StoreError> {
        let bytes = match self {
            Self::Stored(response, None, _) => glue::bytes_of(&response)
                .await
                .map_err(|error| StoreError::Failed(glue::words(&error)))?,
            Self::Bytes(bytes) => bytes,
            Self::Stored(..) | Self::Request(..) | Self::Response(..) | Self::Gathered(..) => {
                return Err(StoreError::Failed("no stored body".into()));
            }
        };
        if u64::from(bytes.length()) == length {
            Ok(bytes)
        } else {
            Err(StoreError::Unreadable("a body of another length than its head says".into()))
        }
    }

    /// Prepares it to be kept whole, if it is an answer of which nothing was read.
    pub(super) fn gather(self, length: u64) -> Self {
        match self {
            Self::Response(response, None) => match glue::gathered(&response, length as f64) {
                Ok(body) => Self::Gathered(response, body),
                // A stream that reads into no buffer is read in its own pieces.
                Err(_) => Self::Response(response, None),
            },
            other => other,
        }
    }

    /// Undoes gzip.
    pub(super) async fn unpack(self) -> Result<Self, OriginError> {
        match self {
            Self::Response(response, None) => {
                let unpacked = glue::unpacked(&response, FIRST_PIECE.0 as f64).await;
                let response = unpacked.map_err(|error| body_error(&error))?;
                Ok(Self::Response(response, None))
            }
            other => Ok(other),
        }
    }

    /// Gives it up.
    pub(super) fn cancel(self) {
        match self {
            Self::Response(response, reader) | Self::Stored(response, reader, _) => {
                // A body that is already closed or locked needs no cancelling.
                let _ = glue::give_up(&response, reader.as_ref());
            }
            Self::Gathered(response, body) => {
                let _ = glue::give_up(&response, body.reader().as_ref());
            }
            Self::Request(..) | Self::Bytes(_) => {}
        }
    }
}

fn body_error(error: &JsValue) -> OriginError {
    match glue::words(error).as_str() {
        "timeout" => OriginError::Timeout,
        _ => OriginError::Broken,
    }
}
