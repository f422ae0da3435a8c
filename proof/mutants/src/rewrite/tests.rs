use super::*;
use crate::list::Span;

/// What is changed in a text: its first piece that reads so, and what comes in its place.
type Change = (Genre, &'static str, &'static str);

fn mutant(text: &str, (genre, piece, replacement): Change) -> Mutant {
    let before = &text[..text.find(piece).expect("the text has the piece")];
    let line = before.lines().count().max(1);
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    let start = Place { line: line + usize::from(before.ends_with('\n')), column };
    Mutant {
        file: "src/lib.rs".to_owned(),
        genre,
        name: "a change".to_owned(),
        replacement: replacement.to_owned(),
        span: Span { start, end: start },
        function: None,
    }
}

#[track_caller]
fn check(text: &str, changes: &[Change], expected: &str) {
    let mutants: Vec<Mutant> = changes.iter().map(|it| mutant(text, *it)).collect();
    let numbered: Vec<Numbered<'_>> = mutants.iter().enumerate().collect();
    let rewritten = rewrite(text, &numbered).unwrap();
    syn::parse_file(&rewritten).expect("it is still Rust");
    let plain: String = rewritten.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(plain.replace("crate::switch::is", "is"), expected);
    for number in 0..mutants.len() {
        let marked = rewritten.find(&begin(number)).map(|at| at + begin(number).len());
        if let Some(at) = marked {
            assert_eq!(changed_at(&rewritten, at..at + 1), Some(number));
        }
    }
}

#[test]
fn every_change_is_there_and_none_is_on() {
    use Genre::{BinaryOperator, FnValue, MatchArm, MatchArmGuard, StructField, UnaryOperator};
    check(
        "fn f() -> bool { a }",
        &[(FnValue, "a }", "true"), (FnValue, "a }", "false")],
        "fn f() -> bool { /*<0*/if is(0) { return true; }/*0>*/ \
         /*<1*/if is(1) { return false; }/*1>*/ a }",
    );
    check(
        "fn f() -> bool { a < b }",
        &[(BinaryOperator, "<", "=="), (BinaryOperator, "<", ">")],
        "fn f() -> bool { (if is(0) { /*<0*/a == b/*0>*/ } else if is(1) { /*<1*/a > b/*1>*/ } \
         else { a < b }) }",
    );
    check(
        "fn f() -> bool { !a && b == c }",
        &[(BinaryOperator, "&&", "||"), (UnaryOperator, "!", ""), (BinaryOperator, "==", "!=")],
        "fn f() -> bool { ({ let left_0: bool = (if is(1) { /*<1*/a/*1>*/ } else { !a }); \
         (if is(0) { /*<0*/left_0 || (if is(2) { /*<2*/b != c/*2>*/ } else { b == c })/*0>*/ } \
         else { left_0 && (if is(2) { /*<2*/b != c/*2>*/ } else { b == c }) }) }) }",
    );
    check(
        "fn f() { match a { 1 if b => c, 2 => d, _ => e } }",
        &[
            (MatchArmGuard, "b", "true"),
            (MatchArmGuard, "b", "false"),
            (MatchArm, "1 if", ""),
            (MatchArm, "2 =>", ""),
        ],
        "fn f() { match a { 1 if (!is(2) && (is(0) || (!is(1) && (b)))) => c, \
         2 if !is(3) => d, _ => e } }",
    );
    check(
        "fn f() -> S { S { a: 1, b: c == d, ..e } }",
        &[(StructField, "a: 1", ""), (BinaryOperator, "==", "!=")],
        "fn f() -> S { (if is(0) { /*<0*/S { b: (if is(1) { /*<1*/c != d/*1>*/ } else \
         { c == d }), ..e }/*0>*/ } else { S { a: 1, b: (if is(1) { /*<1*/c != d/*1>*/ } \
         else { c == d }), ..e } }) }",
    );
}

#[test]
fn what_is_asked_for_in_a_block_is_no_more_than_it() {
    let text = "x { match y { 1 if !crate::switch::is(3) => {} } crate::switch::is(4) } \
                crate::switch::is(5)";
    assert_eq!(asked_in_block(text), [3, 4]);
    let at = text.find("crate::switch::is(4)").unwrap();
    assert_eq!(changed_at(text, at..at + 3), None);
    assert_eq!(changed_at(text, at..at + "crate::switch::is(4)".len()), Some(4));
}
