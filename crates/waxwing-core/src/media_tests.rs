use super::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF";
const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\0\0";

fn sniffed(bytes: &[u8], claimed: &str) -> (String, bool) {
    let found = sniff(bytes, Some(claimed));
    (found.mime, found.mismatch)
}

#[test]
fn the_bytes_win_over_the_claim() {
    let cases: [(&[u8], &str, &str, bool); 16] = [
        (PNG, "image/png", "image/png", false),
        (PNG, "image/jpeg", "image/png", true),
        (JPEG, "IMAGE/JPEG; a=b", "image/jpeg", false),
        (JPEG, "application/octet-stream", "image/jpeg", false),
        (b"<html><script>alert(1)", "image/png", "text/html", true),
        (
            b"\xef\xbb\xbf \n<!DOCTYPE HTML>",
            "text/plain",
            "text/html",
            true,
        ),
        (
            b"<?xml version=\"1.0\"?><svg onload=a>",
            "image/png",
            "image/svg+xml",
            true,
        ),
        (b"%PDF-1.7\n", "application/pdf", "application/pdf", false),
        (b"hello", "text/plain", "text/plain", false),
        (b"a,b\n1,2\n", "text/csv", "text/csv", false),
        (b"hello", "image/jpeg", "text/plain", true),
        (b"hello", "text/html", "text/plain", true),
        (
            b"\0\x01\x02\x03",
            "audio/ogg",
            "application/octet-stream",
            true,
        ),
        (
            b"OggS\0\x02\0\0",
            "audio/ogg; codecs=opus",
            "audio/ogg",
            false,
        ),
        (
            b"\0\0\0\x18ftyp3gp4\0\0\0\0",
            "video/3gpp",
            "video/3gpp",
            false,
        ),
        (
            b"MZ\x90\0\x03\0\0\0",
            "application/pdf",
            "application/vnd.microsoft.portable-executable",
            true,
        ),
    ];
    for (bytes, claimed, mime, mismatch) in cases {
        assert_eq!(
            sniffed(bytes, claimed),
            (mime.to_owned(), mismatch),
            "{claimed}: {bytes:?}"
        );
    }
    let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    assert_eq!(sniffed(ZIP, docx), (docx.to_owned(), false));
    assert_eq!(sniff(JPEG, None).mime, "image/jpeg");
    assert_eq!(sniff(b"", None).mime, "text/plain");
}

#[test]
fn limits_are_the_providers() {
    use ChannelKind::{Meta, Twilio};
    use MediaKind::{Audio, Document, Image, Sticker};
    let most = 5 * MB;
    assert_eq!(check(Meta, Image, "image/jpeg", most), Ok(()));
    assert!(matches!(
        check(Meta, Image, "image/jpeg", most + 1),
        Err(Refusal::Size { .. })
    ));
    assert!(matches!(
        check(Meta, Image, "image/gif", 1),
        Err(Refusal::Type { .. })
    ));
    assert_eq!(check(Meta, Image, "image/jpeg", 0), Err(Refusal::Empty));
    assert_eq!(
        check(Meta, Document, "application/x-odd", FILE_BYTES),
        Ok(())
    );
    assert!(check(Twilio, Document, "application/x-odd", 1).is_err());
    assert!(check(Twilio, Document, "application/pdf", 17 * MB).is_err());
    assert_eq!(check(Twilio, Document, "application/pdf", 16 * MB), Ok(()));
    assert_eq!(check(Meta, Audio, "audio/ogg; codecs=opus", 1), Ok(()));
    assert_eq!(check(Meta, Sticker, "image/webp", 500 * KB), Ok(()));
    assert_eq!(
        check(Meta, Image, "image/gif", 1).unwrap_err().to_string(),
        "image/gif is not taken as image: use image/jpeg, image/png"
    );
    assert_eq!(kind_of("image/jpeg"), Image);
    assert_eq!(kind_of("image/gif"), Document);
    assert_eq!(kind_of("audio/ogg; codecs=opus"), Audio);
}

#[test]
fn nothing_that_runs_is_shown_inline() {
    for mime in [
        "text/html",
        "image/svg+xml",
        "text/xml",
        "application/pdf",
        "text/plain",
        "application/xhtml+xml",
    ] {
        assert!(!is_shown_inline(mime), "{mime}");
    }
    assert!(is_shown_inline("image/jpeg"));
}

#[test]
fn hostile_names_are_cleaned() {
    let cases = [
        ("invoice.pdf", Some("invoice.pdf")),
        ("../../etc/passwd", Some("passwd")),
        ("C:\\Windows\\system32\\cmd.exe", Some("cmd.exe")),
        ("a\r\nContent-Type: text/html.pdf", Some("html.pdf")),
        ("photo\u{202e}gpj.exe", Some("photogpj.exe")),
        ("a\0b.txt", Some("ab.txt")),
        ("say \"hi\".txt", Some("say _hi_.txt")),
        ("Übersicht 2026.xlsx", Some("Übersicht 2026.xlsx")),
        ("...", None),
        ("", None),
        ("\u{200b}", None),
        ("/", None),
        ("con.txt", Some("_con.txt")),
        (".htaccess", Some("htaccess")),
        ("a\u{a0}b", Some("a b")),
    ];
    for (name, clean) in cases {
        assert_eq!(clean_file_name(name).as_deref(), clean, "{name:?}");
    }
    let long = clean_file_name(&format!("{}.pdf", "ä".repeat(500))).unwrap();
    assert_eq!(long.chars().count(), FILE_NAME);
    assert!(long.ends_with(".pdf"));
}

#[test]
fn the_wait_grows_and_has_an_end() {
    let waits: Vec<u64> = (1..12).map(|n| fetch_again(n, 0.0).as_secs()).collect();
    assert_eq!(waits[..4], [2, 8, 32, 128]);
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!(fetch_again(u32::MAX, 1.0).as_secs(), 6 * 3_600 * 3 / 2);
}
