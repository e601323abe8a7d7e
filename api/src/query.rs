//! Reading a query string field by field, so that everything wrong with it is told at once.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, web};
use chrono::NaiveDate;
use painel_shared::{
    commands::{Fault, FieldError},
    db::Known,
};
use uuid::Uuid;

use crate::problem::ApiError;

/// A query string being read.
#[derive(Debug)]
pub struct QueryFields {
    values: BTreeMap<String, String>,
    errors: Vec<FieldError>,
}

impl QueryFields {
    /// Starts reading. A parameter that stands twice is refused.
    pub fn of(request: &HttpRequest) -> Self {
        let mut fields = Self { values: BTreeMap::new(), errors: Vec::new() };
        match web::Query::<Vec<(String, String)>>::from_query(request.query_string()) {
            Ok(pairs) => {
                for (name, value) in pairs.into_inner() {
                    if fields.values.insert(name.clone(), value).is_some() {
                        fields.refuse(&name, Fault::Duplicate);
                    }
                }
            }
            Err(_) => fields.refuse("query", Fault::NotUtf8),
        }
        fields
    }

    /// A parameter that may be absent; `fault` is what is wrong where it cannot be read.
    pub fn optional<T>(
        &mut self,
        name: &str,
        fault: impl FnOnce() -> Fault,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.values.remove(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.refuse(name, fault());
        }
        parsed
    }

    /// A whole number within bounds, or the default.
    pub fn number(&mut self, name: &str, bounds: std::ops::RangeInclusive<u32>, default: u32) -> u32 {
        let (min, max) = (*bounds.start(), *bounds.end());
        let parse = |text: &str| text.parse().ok().filter(|number| bounds.contains(number));
        self.optional(name, || Fault::OutOfRange { min, max }, parse).unwrap_or(default)
    }

    /// A UUID, in its hyphenated form.
    pub fn uuid(&mut self, name: &str) -> Option<Uuid> {
        self.optional(name, || Fault::NotAUuid, |text| Uuid::try_parse(text).ok().filter(|_| text.len() == 36))
    }

    /// A day, as YYYY-MM-DD.
    pub fn date(&mut self, name: &str) -> Option<NaiveDate> {
        self.optional(name, || Fault::NotADay, painel_shared::time::day)
    }

    /// Text of 1 to `longest` characters, none of which is a control character.
    pub fn text(&mut self, name: &str, longest: usize) -> Option<String> {
        let fits = |text: &str| (1..=longest).contains(&text.chars().count()) && !text.contains(char::is_control);
        self.optional(name, || Fault::NotALine { max: longest }, |text| fits(text).then(|| text.to_owned()))
    }

    /// One of a few words, each with its meaning.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let allowed = || Fault::not_one_of(words.iter().map(|(word, _)| *word));
        let known = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        self.optional(name, allowed, known)
    }

    /// Notes that a parameter is wrong.
    pub fn refuse(&mut self, name: &str, fault: Fault) {
        self.errors.push(FieldError::new(name, fault));
    }

    /// Ends the reading: what was not asked for is unknown, and refused.
    pub fn finish(mut self) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.values) {
            self.refuse(&name, Fault::Unknown);
        }
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(ApiError::Validation(self.errors)),
        }
    }
}

/// A UUID that stands in the path.
pub fn uuid_in_path(name: &str, text: &str) -> Result<Uuid, ApiError> {
    let parsed = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    parsed.ok_or_else(|| ApiError::field(name, Fault::NotAUuid))
}

/// Which part of a long list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// How many at most.
    pub limit: i64,
    /// How many are passed over.
    pub offset: i64,
}

impl Page {
    /// The farthest that an offset may lead.
    const FARTHEST: u32 = 1_000_000;

    /// Reads `limit` (1 to 100) and `offset` (from 0).
    pub fn read(fields: &mut QueryFields, default_limit: u32) -> Self {
        Self {
            limit: fields.number("limit", 1..=100, default_limit).into(),
            offset: fields.number("offset", 0..=Self::FARTHEST, 0).into(),
        }
    }
}

/// Which part of a list is asked for that is ordered by something, and then by an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct After {
    /// How many at most.
    pub limit: u32,
    /// Behind which one.
    pub after: Option<Uuid>,
}

impl After {
    /// Reads `limit` (1 to 100) and `cursor`.
    pub fn read(fields: &mut QueryFields, default_limit: u32) -> Self {
        let uuid = |text: &str| Uuid::try_parse(text).ok();
        Self {
            limit: fields.number("limit", 1..=100, default_limit),
            after: fields.optional("cursor", || Fault::BadCursor, uuid),
        }
    }

    /// So many are asked for, so that it shows whether there are more.
    pub fn one_more(self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Refuses a cursor behind which nothing can be.
    pub fn check(self, known: &[Known]) -> Result<(), ApiError> {
        if self.after.is_some() && known.is_empty() {
            Err(ApiError::field("cursor", Fault::BadCursor))
        } else {
            Ok(())
        }
    }

    /// Leaves the page; where the next one begins, if there is one.
    pub fn cut<T>(self, rows: &mut Vec<T>, id: impl Fn(&T) -> Uuid) -> Option<Uuid> {
        cut(rows, self.limit as usize, id)
    }
}

/// Leaves a page of so many, of which one more was asked for; the place of its last one, where there are more.
pub fn cut<T, P>(rows: &mut Vec<T>, page: usize, place: impl Fn(&T) -> P) -> Option<P> {
    let more = rows.len() > page;
    rows.truncate(page);
    rows.last().filter(|_| more).map(place)
}
