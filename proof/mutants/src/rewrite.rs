//! Writes a source file in which every change is there and none is on.
//!
//! Where a comparison `a == b` would be turned round, the file says
//! `(if crate::switch::is(7) { a != b } else { a == b })`. Around each changed piece stand comments
//! with its number, so that an error of the compiler tells which change does not compile.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::list::{Genre, Mutant, Place};

/// A change and its number.
pub(crate) type Numbered<'a> = (usize, &'a Mutant);

/// The text of a file with all of these changes.
pub(crate) fn rewrite(text: &str, mutants: &[Numbered<'_>]) -> Result<String> {
    let offsets = Offsets::of(text);
    let mut wanted: HashMap<(Genre, usize), Vec<Numbered<'_>>> = HashMap::new();
    let mut found = Found { wanted: HashMap::new(), nodes: Vec::new(), met: HashSet::new() };
    for (number, mutant) in mutants {
        let start = offsets.byte(mutant.span.start).context("a place beyond the end")?;
        match mutant.genre {
            Genre::FnValue => {
                let change = format!(
                    "{}if {} {{ return {}; }}{}\n",
                    begin(*number),
                    is(*number),
                    mutant.replacement,
                    end(*number)
                );
                found.met.insert(*number);
                found.nodes.push(Node { range: start..start, shape: Shape::Insert(change) });
            }
            genre => wanted.entry((genre, start)).or_default().push((*number, mutant)),
        }
    }
    found.wanted = wanted;
    found.visit_file(&syn::parse_file(text)?);
    for (number, mutant) in mutants {
        ensure!(found.met.contains(number), "not found in the syntax tree: {}", mutant.name);
    }
    // What is inserted at a place comes before what begins there, and that before what it contains.
    found
        .nodes
        .sort_by_key(|Node { range, .. }| (range.start, !range.is_empty(), Reverse(range.end)));
    Ok(Writer { text }.write(0..text.len(), &found.nodes))
}

fn is(number: usize) -> String {
    format!("crate::switch::is({number})")
}

fn begin(number: usize) -> String {
    format!("/*<{number}*/")
}

fn end(number: usize) -> String {
    format!("/*{number}>*/")
}

/// From lines and columns to bytes.
struct Offsets<'a>(Vec<(usize, &'a str)>);

impl<'a> Offsets<'a> {
    fn of(text: &'a str) -> Offsets<'a> {
        let mut start = 0;
        let line = |line: &'a str| {
            let here = start;
            start += line.len();
            (here, line)
        };
        Offsets(text.split_inclusive('\n').map(line).collect())
    }

    fn byte(&self, place: Place) -> Option<usize> {
        let (start, line) = self.0.get(place.line.checked_sub(1)?)?;
        let column = place.column.checked_sub(1)?;
        let within = line.char_indices().map(|(byte, _)| byte).chain([line.len()]).nth(column)?;
        Some(start + within)
    }
}

/// A piece of the file that is written otherwise.
struct Node {
    range: Range<usize>,
    shape: Shape,
}

enum Shape {
    Insert(String),
    Binary {
        left: Range<usize>,
        operator: Range<usize>,
        right: Range<usize>,
        to: Vec<(usize, String)>,
    },
    Unary {
        number: usize,
        operand: Range<usize>,
    },
    Guard {
        always: Option<usize>,
        never: Option<usize>,
        deleted: Option<usize>,
    },
    Struct {
        without: Vec<(usize, Range<usize>)>,
    },
}

struct Found<'a> {
    wanted: HashMap<(Genre, usize), Vec<Numbered<'a>>>,
    nodes: Vec<Node>,
    met: HashSet<usize>,
}

impl<'a> Found<'a> {
    fn take(&mut self, genre: Genre, start: usize) -> Vec<Numbered<'a>> {
        let taken = self.wanted.remove(&(genre, start)).unwrap_or_default();
        self.met.extend(taken.iter().map(|(number, _)| *number));
        taken
    }
}

fn bytes(tokens: &impl Spanned) -> Range<usize> {
    tokens.span().byte_range()
}

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let operator = bytes(&binary.op);
        let to = self.take(Genre::BinaryOperator, operator.start);
        if !to.is_empty() {
            let to = to.into_iter().map(|(it, mutant)| (it, mutant.replacement.clone())).collect();
            let (left, right) = (bytes(&*binary.left), bytes(&*binary.right));
            let range = left.start..right.end;
            self.nodes.push(Node { range, shape: Shape::Binary { left, operator, right, to } });
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        for (number, _) in self.take(Genre::UnaryOperator, bytes(&unary.op).start) {
            let operand = bytes(&*unary.expr);
            self.nodes.push(Node { range: bytes(unary), shape: Shape::Unary { number, operand } });
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let deleted = self.take(Genre::MatchArm, bytes(arm).start).first().map(|(it, _)| *it);
        match &arm.guard {
            Some((_, guard)) => {
                let range = bytes(&**guard);
                let taken = self.take(Genre::MatchArmGuard, range.start);
                let to = |value| {
                    let is_to = |(_, mutant): &&Numbered<'_>| mutant.replacement == value;
                    taken.iter().find(is_to).map(|(it, _)| *it)
                };
                let (always, never) = (to("true"), to("false"));
                self.nodes.push(Node { range, shape: Shape::Guard { always, never, deleted } });
            }
            None => {
                if let Some(number) = deleted {
                    let end = bytes(&arm.pat).end;
                    let change = format!(" if !{}", is(number));
                    self.nodes.push(Node { range: end..end, shape: Shape::Insert(change) });
                }
            }
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, it: &'ast syn::ExprStruct) {
        let mut without = Vec::new();
        for pair in it.fields.pairs() {
            let mut field = bytes(pair.value());
            for (number, _) in self.take(Genre::StructField, field.start) {
                field.end = pair.punct().map_or(field.end, |comma| bytes(comma).end);
                without.push((number, field.clone()));
            }
        }
        if !without.is_empty() {
            self.nodes.push(Node { range: bytes(it), shape: Shape::Struct { without } });
        }
        visit::visit_expr_struct(self, it);
    }
}

struct Writer<'a> {
    text: &'a str,
}

impl Writer<'_> {
    /// A part of the file, with the nodes that are in it.
    fn write(&self, part: Range<usize>, nodes: &[Node]) -> String {
        let mut written = String::new();
        let (mut at, mut next) = (part.start, 0);
        while let Some(node) = nodes.get(next) {
            next += 1;
            if node.range.start < at || node.range.end > part.end {
                continue; // in a piece that is left out, or in its neighbour
            }
            let first = next;
            let holds_others = !node.range.is_empty();
            while holds_others && nodes.get(next).is_some_and(|it| it.range.end <= node.range.end) {
                next += 1;
            }
            written += &self.text[at..node.range.start];
            written += &self.node(node, &nodes[first..next]);
            at = node.range.end;
        }
        written + &self.text[at..part.end]
    }

    fn node(&self, node: &Node, inner: &[Node]) -> String {
        let whole = || self.write(node.range.clone(), inner);
        match &node.shape {
            Shape::Insert(change) => change.clone(),
            Shape::Binary { left, operator, right, to } => {
                let (left, right) =
                    (self.write(left.clone(), inner), self.write(right.clone(), inner));
                binary(&left, &self.text[operator.clone()], &right, to)
            }
            Shape::Unary { number, operand } => {
                let operand = self.write(operand.clone(), inner);
                choice(&[(*number, operand)], &whole())
            }
            Shape::Guard { always, never, deleted } => {
                let mut guard = format!("({})", whole());
                if let Some(number) = never {
                    guard = format!("(!{} && {guard})", is(*number));
                }
                if let Some(number) = always {
                    guard = format!("({} || {guard})", is(*number));
                }
                if let Some(number) = deleted {
                    guard = format!("(!{} && {guard})", is(*number));
                }
                guard
            }
            Shape::Struct { without } => {
                let Range { start, end } = node.range.clone();
                let less = |(number, field): &(usize, Range<usize>)| {
                    let rest =
                        self.write(start..field.start, inner) + &self.write(field.end..end, inner);
                    (*number, rest)
                };
                choice(&without.iter().map(less).collect::<Vec<_>>(), &whole())
            }
        }
    }
}

fn binary(left: &str, operator: &str, right: &str, to: &[(usize, String)]) -> String {
    let with = |operator: &str, left: &str| format!("{left}\n{operator} {right}");
    if !matches!(operator, "&&" | "||") {
        let changed: Vec<_> = to.iter().map(|(it, op)| (*it, with(op, left))).collect();
        return choice(&changed, &with(operator, left));
    }
    // The left side is evaluated first, whatever follows: written once, or a long chain would grow
    // beyond measure.
    let name = format!("left_{}", to[0].0);
    let changed: Vec<_> = to.iter().map(|(it, op)| (*it, with(op, &name))).collect();
    format!("({{ let {name}: bool = {left}; {} }})", choice(&changed, &with(operator, &name)))
}

/// Each change if it is on, else the text as it was.
fn choice(changed: &[(usize, String)], otherwise: &str) -> String {
    let mut written = String::from("(");
    for (number, text) in changed {
        let (begin, is, end) = (begin(*number), is(*number), end(*number));
        written += &format!("if {is} {{ {begin}{text}{end} }} else ");
    }
    written + &format!("{{ {otherwise} }})")
}

/// The number of the change that an error at these bytes of a rewritten file is about.
pub(crate) fn changed_at(rewritten: &str, bytes: Range<usize>) -> Option<usize> {
    // What is evaluated before a program runs cannot ask which change is on.
    let asked = rewritten.get(bytes.clone()).and_then(|it| it.strip_prefix("crate::switch::is"));
    if let Some(asked) = asked {
        return number_after(asked);
    }
    let mut starts = rewritten[..bytes.start].rmatch_indices("/*<");
    // The innermost begins last.
    starts.find_map(|(start, _)| {
        let number: usize = rewritten[start + 3..].split('*').next()?.parse().ok()?;
        let until = rewritten[start..].find(&end(number))? + start;
        (until >= bytes.end).then_some(number)
    })
}

/// The numbers that are asked for in the first block of a text.
pub(crate) fn asked_in_block(text: &str) -> Vec<usize> {
    let mut depth = 0;
    let end = text.find(|letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == '}' && depth == 0
    });
    text[..end.unwrap_or(text.len())]
        .split("crate::switch::is")
        .skip(1)
        .filter_map(number_after)
        .collect()
}

/// The number in what comes after the name of the switch.
pub(crate) fn number_after(text: &str) -> Option<usize> {
    text.strip_prefix('(')?.split(')').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
