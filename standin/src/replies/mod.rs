//! Successful responses, in the shapes of the API.
//!
//! They are the same for the same request; nothing in them is random or reads a clock, except
//! that each has an id of its own.

mod embeddings;
mod images;
mod models;
mod reply;
mod text;

use crate::{call::Call, error::ApiError, route::Route};

pub(crate) use self::reply::{Reply, Shape};

/// Composes the response to a call, or says what is wrong with its parameters.
pub(crate) fn reply(call: &Call, shape: &Shape) -> Result<Reply, ApiError> {
    match call.route {
        Route::Chat | Route::Completions => Ok(text::reply(call, shape)),
        Route::Embeddings => embeddings::reply(call, shape.dimension).map(Reply::Json),
        Route::Images => images::reply(call).map(Reply::Json),
        Route::SupportedModels => Ok(Reply::Json(models::supported())),
        Route::Models | Route::Other => Ok(Reply::Json(models::all())),
    }
}
