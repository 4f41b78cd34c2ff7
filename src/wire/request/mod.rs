//! Parses requests.

mod asked;
mod credentials;
mod estimate;
mod model;
mod multipart;
mod places;
mod timeout;

pub(crate) use self::{
    asked::{Asked, Count, asked},
    credentials::credentials,
    estimate::estimate,
    multipart::{boundary, form_model},
    places::ModelPlaces,
    timeout::{Stated, deadline},
};
