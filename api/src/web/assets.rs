//! What pages are made with beside HTML: one style, one script, one file of icons. Their addresses bear a hash of what they
//! hold, so that a browser keeps them for good.

use std::{collections::BTreeMap, io::Write, sync::LazyLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, AcceptEncoding, Header, Preference},
    web::Bytes,
};
use flate2::{Compression, write::GzEncoder};
use painel_shared::secrets::sha256_hex;
use rust_embed::RustEmbed;

use crate::problem::ApiError;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Files;

struct Asset {
    hash: String,
    kind: &'static str,
    plain: Bytes,
    /// Compressed once.
    gzip: Bytes,
}

static ASSETS: LazyLock<BTreeMap<String, Asset>> = LazyLock::new(|| Files::iter().filter_map(read).collect());

fn read(name: std::borrow::Cow<'static, str>) -> Option<(String, Asset)> {
    let plain = Files::get(&name)?.data.into_owned();
    let kind = match name.rsplit_once('.')?.1 {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&plain).ok()?;
    let gzip = encoder.finish().ok()?.into();
    let hash = sha256_hex(&plain).get(..16)?.to_owned();
    Some((name.into_owned(), Asset { hash, kind, plain: plain.into(), gzip }))
}

/// Where a file is.
pub(super) fn url(name: &str) -> String {
    let hash = ASSETS.get(name).map_or("none", |asset| &asset.hash);
    format!("/app/assets/{hash}/{name}")
}

/// `GET /app/assets/{hash}/{name}`.
pub(super) async fn show(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let named = |part: &str| request.match_info().get(part).unwrap_or_default();
    let asset = ASSETS.get(named("name")).ok_or(ApiError::NotFound(None))?;
    // While replicas are replaced, a page of one asks another for what it holds in another version: better that one than none.
    let kept = if asset.hash == named("hash") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, asset.kind))
        .insert_header((header::CACHE_CONTROL, kept))
        .insert_header((header::VARY, "Accept-Encoding"));
    Ok(match takes_gzip(&request) {
        true => response.insert_header((header::CONTENT_ENCODING, "gzip")).body(asset.gzip.clone()),
        // The middleware that compresses pages leaves it alone, too.
        false => response.insert_header((header::CONTENT_ENCODING, "identity")).body(asset.plain.clone()),
    })
}

fn takes_gzip(request: &HttpRequest) -> bool {
    let Ok(accepted) = AcceptEncoding::parse(request) else { return false };
    accepted.iter().any(|one| {
        let is_gzip = matches!(&one.item, Preference::Specific(coding) if coding.to_string() == "gzip");
        is_gzip && one.quality > header::Quality::ZERO
    })
}
