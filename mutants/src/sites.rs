//! The places in a source file that have mutants, each with the text that its switch surrounds.

use std::{collections::HashMap, ops::Range};

use proc_macro2::Span;
use syn::{
    Arm, Attribute, BinOp, Block, Expr, ExprBinary, ExprMatch, ExprStruct, ExprUnary, ImplItemFn,
    ItemFn, Meta, MetaList, Pat, PatGuard, TraitItemFn,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{NOT_COMPILED, list::Genre};

#[derive(Clone, Eq, Hash, PartialEq)]
pub enum Site {
    /// An expression, which a mutant replaces by another.
    Expr(Range<usize>),
    /// The end of a match arm's pattern.
    Pattern(usize),
    /// A match arm's guard.
    Guard(Range<usize>),
    /// The start of a function's body.
    Body(usize),
}

/// A site, and the item within which the compiler may complain about it.
#[derive(Clone)]
pub struct Place {
    pub site: Site,
    pub scope: Range<usize>,
}

/// Places by kind of mutant and by the offset at which the list says that the mutant starts.
#[derive(Default)]
pub struct Places {
    places: HashMap<(Genre, usize), Place>,
    /// The surrounding matches, and whether an arm may be deleted because another arm matches everything.
    matches: Vec<(Range<usize>, bool)>,
}

impl Places {
    pub fn of(text: &str) -> Self {
        let mut places = Self::default();
        places.visit_file(&syn::parse_file(text).expect("the source parses"));
        places
    }

    pub fn get(&self, genre: Genre, start: usize) -> Option<&Place> {
        self.places.get(&(genre, start))
    }

    fn put(&mut self, genre: Genre, at: Span, site: Site, scope: Range<usize>) {
        let place = Place { site, scope };
        self.places.insert((genre, at.byte_range().start), place);
    }

    fn body(&mut self, function: Span, block: &Block) {
        if let Some(first) = block.stmts.first() {
            let start = first.span();
            let site = Site::Body(start.byte_range().start);
            self.put(Genre::FnValue, start, site, function.byte_range());
        }
    }
}

impl<'ast> Visit<'ast> for Places {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if is_left_out(&item.attrs) {
            return;
        }
        self.body(item.span(), &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if is_left_out(&item.attrs) {
            return;
        }
        self.body(item.span(), &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if is_left_out(&item.attrs) {
            return;
        }
        if let Some(block) = &item.default {
            self.body(item.span(), block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, expr: &'ast ExprBinary) {
        if !(matches!(expr.op, BinOp::And(_)) && (has_let(&expr.left) || has_let(&expr.right))) {
            let range = expr.span().byte_range();
            let site = Site::Expr(range.clone());
            self.put(Genre::BinaryOperator, expr.op.span(), site, range);
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast ExprUnary) {
        let range = expr.span().byte_range();
        let site = Site::Expr(range.clone());
        self.put(Genre::UnaryOperator, expr.op.span(), site, range);
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_struct(&mut self, expr: &'ast ExprStruct) {
        let range = expr.span().byte_range();
        for field in &expr.fields {
            let site = Site::Expr(range.clone());
            self.put(Genre::StructField, field.span(), site, range.clone());
        }
        visit::visit_expr_struct(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast ExprMatch) {
        let catchall = expr.arms.iter().any(|arm| matches!(arm.pat, Pat::Wild(_)));
        self.matches.push((expr.span().byte_range(), catchall));
        visit::visit_expr_match(self, expr);
        self.matches.pop();
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let (scope, catchall) = self.matches.last().expect("an arm is in a match").clone();
        match &arm.pat {
            Pat::Guard(PatGuard { guard, .. }) => {
                let site = Site::Guard(guard.span().byte_range());
                self.put(Genre::MatchArmGuard, guard.span(), site, scope);
            }
            pat if catchall => {
                let site = Site::Pattern(pat.span().byte_range().end);
                self.put(Genre::MatchArm, arm.span(), site, scope);
            }
            _ => {}
        }
        visit::visit_arm(self, arm);
    }
}

/// Whether an item is not compiled in these tests.
fn is_left_out(attributes: &[Attribute]) -> bool {
    let is_left_out = |cfg: &MetaList| {
        let condition = cfg.tokens.to_string().replace(' ', "");
        NOT_COMPILED
            .iter()
            .any(|start| condition.starts_with(start))
    };
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && is_left_out(list),
        _ => false,
    })
}

/// Whether an operand of `&&` is a `let`, or a chain that contains one.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(chain) => matches!(chain.op, BinOp::And(_)) && has_let(&chain.left),
        _ => false,
    }
}
