//! The command line, and `--config`: one TOML file for its options, and for the tokens. The README shows one.

pub(crate) mod args;
pub(crate) mod limits;
pub(crate) mod sharing;

use std::{ffi::OsString, fs, ops::Range, path::Path};

use clap::Parser;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::config::args::Args;

/// The content of a configuration file.
#[derive(Default)]
pub(crate) struct Config {
    /// Options of the command line.
    options: Vec<String>,
    /// Names and tokens.
    pub(crate) tokens: Vec<(String, String)>,
}

/// Returns the command line. The options of the file that it names come first, so that its own override them.
pub(crate) fn load() -> Result<(Args, Config), String> {
    let own = Args::parse();
    let Some(path) = &own.config else {
        return Ok((own, Config::default()));
    };
    let config = Config::read(path)?;
    let mut all = std::env::args_os();
    let program = all.next().unwrap_or_default();
    let options = config.options.iter().map(OsString::from);
    let line = [program].into_iter().chain(options).chain(all);
    Ok((Args::parse_from(line), config))
}

impl Config {
    fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let at = |span: Range<usize>, message: &str| {
            let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
            format!("{}, line {line}: {message}", path.display())
        };
        let table = DeTable::parse(&text)
            .map_err(|error| at(error.span().unwrap_or_default(), error.message()))?;
        let mut config = Self::default();
        for (name, value) in table.get_ref() {
            let added = match (name.get_ref().as_ref(), value.get_ref()) {
                ("tokens", DeValue::Table(tokens)) => config.add_tokens(tokens),
                ("limit", DeValue::Table(limits)) => limits.iter().try_for_each(|(of, value)| {
                    config.add(value, &|most| format!("--limit={}={most}", of.get_ref()))
                }),
                // A file may not name another file.
                ("config", _) => Err((name.span(), "write the file's options here".to_owned())),
                (name, _) => config.add(value, &|value| format!("--{name}={value}")),
            };
            added.map_err(|(span, message)| at(span, &message))?;
        }
        Ok(config)
    }

    /// Adds an option for a value, or one option for each value of a list.
    fn add(&mut self, value: &Spanned<DeValue<'_>>, option: &dyn Fn(&str) -> String) -> Added {
        let option = match value.get_ref() {
            DeValue::Array(values) => {
                return values.iter().try_for_each(|value| self.add(value, option));
            }
            DeValue::String(text) => option(text),
            DeValue::Integer(number) => option(number.as_str()),
            DeValue::Float(number) => option(number.as_str()),
            DeValue::Boolean(true) => option("").trim_end_matches('=').to_owned(),
            DeValue::Boolean(false) => return Ok(()),
            _ => return Err((value.span(), "write a text or a number".to_owned())),
        };
        // Each option is parsed alone, so that an error names its line.
        let alone = Args::try_parse_from(["together-gateway", &option]);
        alone.map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            (value.span(), first.trim_start_matches("error: ").to_owned())
        })?;
        self.options.push(option);
        Ok(())
    }

    fn add_tokens(&mut self, tokens: &DeTable<'_>) -> Added {
        for (name, token) in tokens {
            let text = token.get_ref().as_str().filter(|token| !token.is_empty());
            let text = text.ok_or((token.span(), "write a token in quotes".to_owned()))?;
            self.tokens
                .push((name.get_ref().to_string(), text.to_owned()));
        }
        Ok(())
    }
}

/// An error has its position in the file.
type Added = Result<(), (Range<usize>, String)>;
