use super::{bad_parameter, length};

#[test]
fn characters_are_code_points() {
    assert_eq!(length("abc"), 3);
    assert_eq!(length("éééééééééé"), 10);
    assert_eq!(length("👩‍👩‍👧 and twenty more ascii"), 27);
}

#[test]
fn blanks_in_parameters() {
    assert!(!bad_parameter("a    b"));
    assert!(bad_parameter("a     b"));
    assert!(bad_parameter("a\nb"));
}
