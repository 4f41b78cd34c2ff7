//! Parses dates in the formats that servers write.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Parses the formats of RFC 9110, those of mail (`+0000`, a one-digit day) and ISO 8601.
///
/// A weekday is ignored, so that a wrong one is harmless. A date without a zone is in UTC. A date with a
/// named zone, except GMT and UTC, is `None`.
pub(super) fn date(text: &str) -> Option<SystemTime> {
    let parts = iso(text).or_else(|| named(text))?;
    let mut time = parts.time.splitn(3, ':');
    let hour: u64 = time.next()?.parse().ok()?;
    let minute: u64 = time.next()?.parse().ok()?;
    let second: f64 = time.next()?.parse().ok()?;
    // A leap second is 60.
    if hour > 23 || minute > 59 || !(0.0..61.0).contains(&second) {
        return None;
    }
    let whole = days(parts.year, parts.month, parts.day)? * 86_400 + hour * 3_600 + minute * 60;
    let at = UNIX_EPOCH + Duration::from_secs(whole) + Duration::from_secs_f64(second);
    let (east, offset) = zone(parts.zone)?;
    if east {
        at.checked_sub(offset)
    } else {
        at.checked_add(offset)
    }
}

struct Parts<'a> {
    year: u64,
    /// Counted from 0.
    month: usize,
    day: u64,
    time: &'a str,
    zone: &'a str,
}

/// `1994-11-06T08:49:37Z`
fn iso(text: &str) -> Option<Parts<'_>> {
    let (date, time) = text.trim().split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-');
    let year = date.next().filter(|year| year.len() == 4)?;
    let month = date.next()?.parse::<usize>().ok()?;
    let day = date.next()?.parse().ok()?;
    let (time, zone) = time.split_at(time.find(['Z', 'z', '+', '-']).unwrap_or(time.len()));
    Some(Parts {
        year: year.parse().ok()?,
        month: month.checked_sub(1)?,
        day,
        time,
        zone,
    })
}

/// `06 Nov 1994 08:49:37 GMT`, `06-Nov-94 08:49:37 GMT`, `Nov  6 08:49:37 1994`
fn named(text: &str) -> Option<Parts<'_>> {
    let (mut month, mut time, mut zone) = (None, None, "");
    // The day precedes the year in all formats.
    let (mut day, mut year) = (None, None);
    for word in text.split_whitespace() {
        if word.contains(':') && time.is_none() {
            time = Some(word);
            continue;
        }
        if time.is_some() && (word.starts_with(['+', '-']) || !word.starts_with(digit)) {
            zone = word;
            continue;
        }
        for piece in word.split('-') {
            if piece.starts_with(digit) {
                let number = piece.parse().ok()?;
                match day {
                    None => day = Some(number),
                    Some(_) => year = Some(in_full(number)),
                }
            } else if let Some(short) = piece.get(..3) {
                let named = |month: &&str| month.eq_ignore_ascii_case(short);
                month = month.or(MONTHS.iter().position(named));
            }
        }
    }
    Some(Parts {
        year: year?,
        month: month?,
        day: day?,
        time: time?,
        zone,
    })
}

fn digit(char: char) -> bool {
    char.is_ascii_digit()
}

/// The full year for a two-digit year (RFC 6265, 5.1.1).
fn in_full(year: u64) -> u64 {
    match year {
        0..70 => 2_000 + year,
        70..100 => 1_900 + year,
        _ => year,
    }
}

/// Days from 1970 to a date; `None` if the date does not exist or is earlier.
fn days(year: u64, month: usize, day: u64) -> Option<u64> {
    let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = |month: usize| LENGTHS[month] + u64::from(month == 1 && leap(year));
    if !(1_970..10_000).contains(&year) || month > 11 || !(1..=length(month)).contains(&day) {
        return None;
    }
    // Leap days since year 1.
    let leaps = |years: u64| years / 4 - years / 100 + years / 400;
    let years = (year - 1_970) * 365 + leaps(year - 1) - leaps(1_969);
    Some(years + (0..month).map(length).sum::<u64>() + day - 1)
}

/// A zone's offset from UTC, and whether it is to the east.
fn zone(zone: &str) -> Option<(bool, Duration)> {
    let names = ["", "Z", "GMT", "UTC", "UT"];
    if names.iter().any(|name| name.eq_ignore_ascii_case(zone)) {
        return Some((true, Duration::ZERO));
    }
    let west = zone.strip_prefix('-');
    let digits = west.or(zone.strip_prefix('+'))?.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2)?;
    let [hours, minutes] = [hours, minutes].map(|part| part.parse::<u8>().map(u64::from));
    let offset = Duration::from_secs(hours.ok()? * 3_600 + minutes.ok()? * 60);
    Some((west.is_none(), offset))
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unix(text: &str) -> Option<u64> {
        let since = date(text)?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(since.as_secs())
    }

    #[test]
    fn every_form_of_one_date() {
        for text in [
            "06 Nov 1994 08:49:37 GMT",
            "6 Nov 1994 08:49:37 UTC",
            "Mon 06 Nov 1994 08:49:37 GMT",
            "06 November 1994 08:49:37 gmt",
            "06 Nov 1994 08:49:37",
            "06 Nov 1994 08:49:37 +0000",
            "06 Nov 1994 08:49:37 -0000",
            "06 Nov 1994 10:49:37 +0200",
            "05 Nov 1994 23:19:37 -0930",
            "06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "1994-11-06T08:49:37Z",
            "1994-11-06T08:49:37.000Z",
            "1994-11-06 09:49:37+01:00",
        ] {
            assert_eq!(unix(text), Some(784_111_777), "{text}");
        }
        assert_eq!(
            unix("31 Dec 2016 23:59:60 GMT"),
            unix("1 Jan 2017 00:00:00 GMT")
        );
        assert_eq!(
            unix("01-Jan-27 00:00:00 GMT"),
            unix("1 Jan 2027 00:00:00 GMT")
        );
    }

    #[test]
    fn other_texts_are_no_dates() {
        for text in [
            "",
            "tomorrow",
            "06 Nov 1994",
            "08:49:37",
            "06 Nov 1994 08:49 GMT",
            "06 Nov 1994 08:49:61 GMT",
            "06 Nov 1994 24:49:37 GMT",
            "31 Nov 1994 08:49:37 GMT",
            "29 Feb 2100 08:49:37 GMT",
            "31 Dec 1969 23:59:59 GMT",
            "06 Now 1994 08:49:37 GMT",
            "06 Nov 1994 08:49:37 EST",
            "06 Nov 1994 08:49:37 +18415778348066932979",
            "06 Nov 99999 08:49:37 GMT",
            "1994-00-06T08:49:37Z",
            "1994-13-06T08:49:37Z",
            "1994-11-06T08:49:NaNZ",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_what_another_reader_finds(seconds in 0..253_402_300_800_u64) {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(date(&httpdate::fmt_http_date(at)), Some(at));
        }

        #[test]
        fn no_text_makes_it_panic(
            text in "\\PC{0,40}",
            like in "([0-9]{1,5}|Nov|[+-]|:|T|Z| |GMT|-){0,12}",
        ) {
            date(&text);
            date(&like);
        }
    }
}
