
/// Whether `MUTANT` names the mutant `number`. With `MUTANT=record`, the number of each mutant that is reached is
/// appended to the file `MUTANT_FILE`.
#[doc(hidden)]
#[inline]
pub(crate) fn __mutant(number: u32) -> bool {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static ACTIVE: AtomicU32 = AtomicU32::new(u32::MAX);
    #[cold]
    fn first() {
        let active = std::env::var("MUTANT").unwrap_or_default();
        let active = if active == "record" { u32::MAX - 1 } else { active.parse().unwrap_or(0) };
        ACTIVE.store(active, Relaxed);
    }
    #[cold]
    fn record(number: u32) {
        use std::{fs::File, io::Write, sync::{OnceLock, atomic::AtomicBool}};
        static REACHED: [AtomicBool; 1 + 1] = [const { AtomicBool::new(false) }; 1 + 1];
        static FILE: OnceLock<File> = OnceLock::new();
        if !REACHED[number as usize].swap(true, Relaxed) {
            let file = || {
                let name = std::env::var("MUTANT_FILE").expect("MUTANT_FILE is set");
                File::options().create(true).append(true).open(name).expect("it is writable")
            };
            writeln!(FILE.get_or_init(file), "{number}").expect("it is writable");
        }
    }
    match ACTIVE.load(Relaxed) {
        active if active < u32::MAX - 1 => active == number,
        u32::MAX => {
            first();
            __mutant(number)
        }
        _ => {
            record(number);
            false
        }
    }
}
