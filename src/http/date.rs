//! `Date`, `Expires`, `Last-Modified` (RFC 9110 §5.6.7): HTTP dates.
//!
//! ```text
//! IMF-fixdate  = day-name "," SP 2DIGIT SP month SP 4DIGIT SP time SP "GMT"
//! rfc850-date  = day-name-l "," SP 2DIGIT "-" month "-" 2DIGIT SP time SP "GMT"
//! asctime-date = day-name SP month SP ( 2DIGIT / ( SP DIGIT ) ) SP time SP 4DIGIT
//! ```
//!
//! The preferred form and both obsolete ones are read, names in any case (RFC 9111 §4.2); anything
//! else is no date. A name of a day that is another day's is let pass, because nothing rests on it.
//! A field that stands twice with different values is no date either. Dates before 1970 are none.

use std::time::{Duration, SystemTime};

use jiff::civil::Date;

use super::Fields;
use super::list::trim;
use crate::base::time::Timestamp;

/// What a date field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateField {
    /// There is no such field.
    Absent,
    /// The date.
    Known(Timestamp),
    /// It can't be read. For `Expires` this means a time in the past (RFC 9111 §5.3).
    Unreadable,
}

impl DateField {
    /// The date, if there is a readable one.
    #[must_use]
    pub const fn known(self) -> Option<Timestamp> {
        match self {
            Self::Known(at) => Some(at),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

/// Reads a date field (give its name in lower case).
#[must_use]
pub fn date(fields: &Fields, name: &str) -> DateField {
    let mut values = fields.all(name);
    let Some(value) = values.next() else { return DateField::Absent };
    if values.any(|other| trim(other) != trim(value)) {
        return DateField::Unreadable;
    }
    parse(value).map_or(DateField::Unreadable, DateField::Known)
}

/// Where time stamps begin.
const EPOCH: Date = jiff::civil::date(1970, 1, 1);
/// The format ends with the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// Reads an HTTP date.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = trim(text);
    let (first, rest) = text.split_once(' ')?;
    let (day, month, year, time) = match first.strip_suffix(',') {
        Some(name) => {
            let (rest, zone) = rest.rsplit_once(' ')?;
            let (date, time) = rest.rsplit_once(' ')?;
            if !zone.eq_ignore_ascii_case("GMT") {
                return None;
            }
            if is_day(name, 3) {
                let (day, month_and_year) = date.split_once(' ')?;
                let (month, year) = month_and_year.split_once(' ')?;
                (digits(day, 2)?, month, digits(year, 4)?, time)
            } else if is_day(name, usize::MAX) {
                let (day, month_and_year) = date.split_once('-')?;
                let (month, year) = month_and_year.split_once('-')?;
                (digits(day, 2)?, month, full_year(digits(year, 2)?), time)
            } else {
                return None;
            }
        }
        None if is_day(first, 3) => {
            let (month, rest) = rest.split_once(' ')?;
            let (date, year) = rest.rsplit_once(' ')?;
            let (day, time) = date.rsplit_once(' ')?;
            let day = match day.strip_prefix(' ') {
                Some(day) => digits(day, 1)?,
                None => digits(day, 2)?,
            };
            (day, month, digits(year, 4)?, time)
        }
        None => return None,
    };
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let days = days_since_1970(year, month, day)?;
    // A leap second behind the last second stands for it.
    let seconds = (days * 86_400 + seconds_of_day(time)?).min(LAST_SECOND);
    Some(Timestamp::from_seconds(seconds))
}

const DAYS: &[&str] =
    &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: &[&str] =
    &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Whether a text is the name of a day, or its first `length` letters.
fn is_day(text: &str, length: usize) -> bool {
    DAYS.iter().any(|day| day.get(..length).unwrap_or(day).eq_ignore_ascii_case(text))
}

/// A number of exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let plain = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// The year of two digits: 1970 to 2069, as the others that read this form have it.
const fn full_year(year: i64) -> i64 {
    if year < 70 { 2000 + year } else { 1900 + year }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, `month` from 0; none if there is no
/// such day, or if it was before.
fn days_since_1970(year: i64, month: usize, day: i64) -> Option<i64> {
    let (year, month) = (i16::try_from(year).ok()?, i8::try_from(month + 1).ok()?);
    let date = Date::new(year, month, i8::try_from(day).ok()?).ok()?;
    let days = date.duration_since(EPOCH).as_hours() / 24;
    (date >= EPOCH).then_some(days)
}

/// Reads an Internet date and time (RFC 3339 §5.6), as JSON has them:
///
/// ```
/// use edge_isr::http::date::internet_date;
/// let whole = internet_date("2026-12-01T08:30:00Z");
/// assert_eq!(whole, internet_date("2026-12-01T09:30:00+01:00"));
/// assert_eq!(whole, internet_date("2026-12-01t08:30:00.000z"));
/// ```
///
/// Of a fraction, which has nine digits at most, milliseconds count; a leap second counts as the
/// second before it. None for anything else that ISO 8601 has (a space instead of the `T`, no
/// seconds, no offset, a comma), and for times before 1970 or after 9999-12-30T22:00:00Z.
#[must_use]
pub fn internet_date(text: &str) -> Option<Timestamp> {
    let (time, rest) = text.split_at_checked("0000-00-00T00:00:00".len())?;
    let zone = match rest.strip_prefix('.') {
        Some(rest) => rest.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    let zoned = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => true,
        ("+" | "-", offset) => has_form(offset, "00:00") && offset < "24:00",
        _ => false,
    };
    if !zoned || !has_form(time, "0000-00-00T00:00:00") {
        return None;
    }
    let at = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    (at >= 0).then(|| Timestamp::from_millis(at))
}

/// Whether a text has digits where a form has zeros, and is the form elsewhere, in any case.
fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            other => byte.eq_ignore_ascii_case(&other),
        })
}

/// `hour ":" minute ":" second`; a leap second counts as the next one.
fn seconds_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(|part| digits(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let holds = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    holds.then_some((hour * 60 + minute) * 60 + second)
}

/// Writes an HTTP date in the preferred form; the Unix epoch for anything before it.
#[must_use]
pub fn format(at: Timestamp) -> String {
    let seconds = u64::try_from(at.as_seconds().min(LAST_SECOND)).unwrap_or(0);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
