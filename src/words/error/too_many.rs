//! Whether an error states that too many jobs run at once.

/// Whether `texts`, read one after the other, state that too many jobs run at once.
///
/// Whole words count, and only near a word for a job: "concurrent", or a limit together with a word for a
/// running job.
pub(super) fn jobs<'a>(texts: impl Iterator<Item = &'a str>) -> bool {
    let words: Vec<&str> = texts.flat_map(words).collect();
    let concurrent = positions(&words, &CONCURRENT, &["request", "requests"]);
    let limits = positions(&words, &LIMITS, &[]);
    let states = positions(&words, &STATES, &[]);
    let near = |job: usize, positions: &[usize], most| {
        let mut positions = positions.iter();
        positions.any(|position| position.abs_diff(job) <= most)
    };
    positions(&words, &JOBS, &["size", "sizes"])
        .into_iter()
        .any(|job| {
            near(job, &concurrent, CLOSE)
                || near(job, &states, CLOSE) && near(job, &limits, SAME_SENTENCE)
        })
}

/// The words of `text`, separated by anything but letters and digits, and by a capital letter inside a word.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|char: char| !char.is_ascii_alphanumeric());
    parts.flat_map(|mut rest| {
        std::iter::from_fn(move || {
            let pairs = rest.as_bytes().windows(2);
            let hump = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
            let end = pairs.map(hump).position(|is| is);
            let (word, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = after;
            (!word.is_empty()).then_some(word)
        })
    })
}

/// The positions where one of `phrases` begins that is not followed by one of `others`.
fn positions(words: &[&str], phrases: &[&[&str]], others: &[&str]) -> Vec<usize> {
    let is = |word: &&str, other: &&str| word.eq_ignore_ascii_case(other);
    let begins = |rest: &[&str], phrase: &[&str]| {
        let mut after = rest.iter();
        let fits = phrase
            .iter()
            .all(|word| after.next().is_some_and(|next| is(next, word)));
        let next = after.next();
        fits && !next.is_some_and(|next| others.iter().any(|other| is(next, other)))
    };
    (0..words.len())
        .filter(|position| {
            phrases
                .iter()
                .any(|phrase| begins(&words[*position..], phrase))
        })
        .collect()
}

/// Words for jobs. A batch size is not a job but a parameter of training.
const JOBS: [&[&str]; 10] = [
    &["job"],
    &["jobs"],
    &["batch"],
    &["batches"],
    &["finetune"],
    &["finetunes"],
    &["finetuning"],
    &["fine", "tune"],
    &["fine", "tunes"],
    &["fine", "tuning"],
];

/// Words for concurrency, if no word for requests follows. Concurrent requests are limited by the rate.
const CONCURRENT: [&[&str]; 3] = [&["concurrent"], &["concurrency"], &["concurrently"]];

const LIMITS: [&[&str]; 5] = [
    &["too", "many"],
    &["maximum"],
    &["max"],
    &["limit"],
    &["limits"],
];

const STATES: [&[&str]; 6] = [
    &["running"],
    &["active"],
    &["pending"],
    &["in", "progress"],
    &["at", "once"],
    &["at", "a", "time"],
];

/// The most words between a job and its state: "jobs that are currently running".
const CLOSE: usize = 4;

/// The most words between a job and its limit: "jobs are running, and your plan allows a maximum of 3".
const SAME_SENTENCE: usize = 10;
