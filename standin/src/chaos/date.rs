//! The three forms a date has in HTTP, of which two are obsolete and must be understood
//! all the same (RFC 9110, section 5.6.7).

use std::time::SystemTime;

use httpdate::fmt_http_date;

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub(super) fn imf(time: SystemTime) -> String {
    fmt_http_date(time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
pub(super) fn rfc850(time: SystemTime) -> String {
    let [short, day, month, year, clock] = &parts(time);
    let weekday = WEEKDAYS.iter().find(|long| long.starts_with(short));
    let weekday = weekday.expect("one of the seven");
    format!("{weekday}, {day}-{month}-{} {clock} GMT", &year[2..])
}

/// `Sun Nov  6 08:49:37 1994`
pub(super) fn asctime(time: SystemTime) -> String {
    let [weekday, day, month, year, clock] = &parts(time);
    let day = day.trim_start_matches('0');
    format!("{weekday} {month} {day:>2} {clock} {year}")
}

/// Weekday, day, month, year and time of day.
fn parts(time: SystemTime) -> [String; 5] {
    let imf = imf(time);
    let mut parts = imf.split([' ', ',']).filter(|part| !part.is_empty());
    std::array::from_fn(|_| parts.next().expect("a date has its parts").to_owned())
}

const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_three_forms_of_the_rfc() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(imf(time), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(rfc850(time), "Sunday, 06-Nov-94 08:49:37 GMT");
        assert_eq!(asctime(time), "Sun Nov  6 08:49:37 1994");
    }

    #[test]
    fn all_say_the_same_on_each_day_of_a_year() {
        for day in 0..366 {
            let seconds = 1_767_225_600 + day * 86_400 + day;
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            for form in [imf, rfc850, asctime] {
                let text = form(time);
                assert_eq!(httpdate::parse_http_date(&text).unwrap(), time, "{text}");
            }
        }
    }
}
