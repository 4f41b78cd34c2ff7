//! Weaves all mutants into a source file, each behind a switch.

use std::{collections::HashMap, ops::Range};

use crate::{
    list::{Genre, Mutant},
    sites::{Place, Places, Site},
};

/// Text that is inserted into the source. Parts of it belong to one mutant alone.
struct Insertion {
    at: usize,
    /// Orders insertions at one offset: ends first, inner before outer, then beginnings, outer before inner.
    order: (bool, isize),
    text: String,
    /// The mutants' own pieces of `text`.
    pieces: Vec<(Range<usize>, u32)>,
}

/// A source file with its mutants, which maps its offsets back to them.
pub struct Woven {
    pub text: String,
    /// The mutants' own pieces of `text`.
    pieces: Vec<(Range<usize>, u32)>,
    /// Offset in the source, and length, of each insertion, in order.
    insertions: Vec<(usize, usize)>,
    scopes: Vec<(Range<usize>, u32)>,
}

/// Weaves in those of `mutants` (number and mutant) that have a place in `source`. Also returns the numbers of the
/// others.
pub fn weave(source: &str, mutants: &[(u32, &Mutant)]) -> (Woven, Vec<u32>) {
    let places = Places::of(source);
    let mut sites: HashMap<Site, Vec<(u32, &Mutant)>> = HashMap::new();
    let mut scopes = Vec::new();
    let mut nowhere = Vec::new();
    for (number, mutant) in mutants {
        let start = mutant.span.start.offset_in(source);
        let Some(Place { site, scope }) = places.get(mutant.genre, start) else {
            nowhere.push(*number);
            continue;
        };
        sites
            .entry(site.clone())
            .or_default()
            .push((*number, mutant));
        scopes.push((scope.clone(), *number));
    }
    let insertions = sites
        .iter()
        .flat_map(|(site, mutants)| insertions(source, site, mutants));
    (assemble(source, insertions.collect(), scopes), nowhere)
}

fn insertions(source: &str, site: &Site, mutants: &[(u32, &Mutant)]) -> Vec<Insertion> {
    let mut begin = Insertion::begin(site);
    match site {
        // The original comes first, so that the compiler blames a mutant for a difference in type.
        Site::Expr(range) => {
            let active = mutants
                .iter()
                .map(|(number, _)| format!("crate::__mutant({number})"));
            let active = active.collect::<Vec<_>>().join(" | ");
            begin.text = format!("(if !({active}) {{ ");
            let mut end = Insertion::end(site, range, " }");
            for (number, mutant) in mutants {
                end.text += &format!(" else if crate::__mutant({number}) {{ ");
                end.piece(*number, &mutated(source, range, mutant));
                end.text += " }";
            }
            end.text += " else { unreachable!() })";
            vec![begin, end]
        }
        Site::Pattern(_) => {
            begin.text += " if true";
            for (number, _) in mutants {
                begin.piece(*number, &format!(" && !crate::__mutant({number})"));
            }
            vec![begin]
        }
        Site::Guard(range) => {
            for (number, mutant) in mutants {
                let no = if mutant.replacement == "true" {
                    ""
                } else {
                    "!"
                };
                let and = if mutant.replacement == "true" {
                    "||"
                } else {
                    "&&"
                };
                begin.piece(*number, &format!("{no}crate::__mutant({number}) {and} ("));
            }
            begin.text.push('(');
            vec![
                begin,
                Insertion::end(site, range, &")".repeat(mutants.len() + 1)),
            ]
        }
        Site::Body(_) => {
            for (number, mutant) in mutants {
                let value = &mutant.replacement;
                let early = format!("if crate::__mutant({number}) {{ return {value}; }} ");
                begin.piece(*number, &early);
            }
            vec![begin]
        }
    }
}

/// The source of an expression with the mutant's span replaced.
fn mutated(source: &str, expr: &Range<usize>, mutant: &Mutant) -> String {
    let [start, end] = [&mutant.span.start, &mutant.span.end].map(|at| at.offset_in(source));
    let new = &mutant.replacement;
    let (before, after) = (&source[expr.start..start], &source[end..expr.end]);
    match mutant.genre {
        Genre::BinaryOperator => format!("({before}) {new} ({after})"),
        _ => format!("{before}{new}{after}"),
    }
}

/// The order of nested sites: greater for the outer one, which is the longer range, or a guard around its expression.
fn weight(site: &Site, range: &Range<usize>) -> isize {
    2 * range.len() as isize + isize::from(matches!(site, Site::Guard(_)))
}

impl Insertion {
    fn begin(site: &Site) -> Self {
        let (at, order) = match site {
            Site::Expr(range) | Site::Guard(range) => (range.start, -weight(site, range)),
            Site::Pattern(at) | Site::Body(at) => (*at, isize::MIN),
        };
        let text = String::new();
        Self {
            at,
            order: (true, order),
            text,
            pieces: Vec::new(),
        }
    }

    fn end(site: &Site, range: &Range<usize>, text: &str) -> Self {
        let order = (false, weight(site, range));
        Self {
            at: range.end,
            order,
            text: text.to_owned(),
            pieces: Vec::new(),
        }
    }

    fn piece(&mut self, number: u32, text: &str) {
        let start = self.text.len();
        self.text += text;
        self.pieces.push((start..self.text.len(), number));
    }
}

fn assemble(source: &str, mut all: Vec<Insertion>, scopes: Vec<(Range<usize>, u32)>) -> Woven {
    all.sort_by_key(|insertion| (insertion.at, insertion.order));
    let mut woven = Woven {
        text: String::new(),
        pieces: Vec::new(),
        insertions: all
            .iter()
            .map(|insertion| (insertion.at, insertion.text.len()))
            .collect(),
        scopes,
    };
    let mut done = 0;
    for insertion in all {
        woven.text += &source[done..insertion.at];
        done = insertion.at;
        let start = woven.text.len();
        let pieces = insertion.pieces.into_iter();
        woven
            .pieces
            .extend(pieces.map(|(piece, n)| (piece.start + start..piece.end + start, n)));
        woven.text += &insertion.text;
    }
    woven.text += &source[done..];
    woven
}

impl Woven {
    /// The mutants whose own text contains a span of the woven file.
    pub fn within(&self, span: &Range<usize>) -> Vec<u32> {
        let contains = |piece: &Range<usize>| piece.start <= span.start && span.end <= piece.end;
        let within = self.pieces.iter().filter(|(piece, _)| contains(piece));
        within.map(|(_, number)| *number).collect()
    }

    /// The mutants of the smallest scope around a span of the woven file.
    pub fn around(&self, span: &Range<usize>) -> Vec<u32> {
        let (start, end) = (self.in_source(span.start), self.in_source(span.end));
        let around = |scope: &Range<usize>| scope.start <= start && end <= scope.end;
        let around = self.scopes.iter().filter(|(scope, _)| around(scope));
        let Some(smallest) = around.clone().map(|(scope, _)| scope.len()).min() else {
            return Vec::new();
        };
        let around = around.filter(|(scope, _)| scope.len() == smallest);
        around.map(|(_, number)| *number).collect()
    }

    fn in_source(&self, offset: usize) -> usize {
        let mut inserted = 0;
        for (at, len) in &self.insertions {
            if at + inserted + len > offset {
                return offset.min(at + inserted) - inserted;
            }
            inserted += len;
        }
        offset - inserted
    }
}
