//! As what WhatsApp will see a template. Its reviewers and machines decide; these are the words they look for.

use super::{Findings, components::shortener};
use crate::message_template::{ButtonKind, Component, MessageTemplate, TemplateCategory, slots};

/// Words of offers, in the languages in which they are met most. Whole words, or a number with `%`.
const PROMOTIONAL: [&str; 64] = [
    "discount",
    "discounts",
    "sale",
    "sales",
    "promo",
    "promotion",
    "promotions",
    "coupon",
    "coupons",
    "voucher",
    "offer",
    "offers",
    "deal",
    "deals",
    "cashback",
    "bogo",
    "giveaway",
    "clearance",
    "limited time",
    "special price",
    "best price",
    "free shipping",
    "buy now",
    "shop now",
    "order now",
    "hurry",
    "percent off",
    "new collection",
    "exclusive",
    "black friday",
    "happy holidays",
    "merry christmas",
    "we miss you",
    "rabatt",
    "angebot",
    "angebote",
    "gutschein",
    "sonderangebot",
    "jetzt kaufen",
    "descuento",
    "descuentos",
    "oferta",
    "ofertas",
    "rebajas",
    "compra ahora",
    "cupón",
    "desconto",
    "promoção",
    "compre agora",
    "cupom",
    "réduction",
    "soldes",
    "promotionnelle",
    "achetez",
    "offre",
    "sconto",
    "offerta",
    "saldi",
    "korting",
    "aanbieding",
    "indirim",
    "kampanya",
    "diskon",
    "छूट",
];

/// Words that stand beside one-time codes.
const CODES: [&str; 24] = [
    "verification code",
    "one-time",
    "one time code",
    "one time password",
    "otp",
    "passcode",
    "security code",
    "login code",
    "log in code",
    "access code",
    "confirmation code is",
    "authentication code",
    "your code",
    "your pin",
    "2fa",
    "bestätigungscode",
    "einmalcode",
    "código de verificación",
    "código de verificação",
    "code de vérification",
    "codice di verifica",
    "verificatiecode",
    "doğrulama kodu",
    "kode verifikasi",
];

/// How a person can say that they want no more.
const OPT_OUT: [&str; 22] = [
    "stop",
    "unsubscribe",
    "opt out",
    "opt-out",
    "no more",
    "not interested",
    "manage preferences",
    "preferences",
    "abmelden",
    "abbestellen",
    "stopp",
    "cancelar suscripción",
    "darse de baja",
    "no recibir",
    "sair",
    "cancelar inscrição",
    "désabonner",
    "se désinscrire",
    "disiscriviti",
    "afmelden",
    "uitschrijven",
    "berhenti",
];

/// Whether words stand in a text as whole words; both in lower case.
fn has_words(text: &str, words: &str) -> bool {
    let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(words).any(|(at, _)| {
        boundary(text[..at].chars().next_back())
            && boundary(text[at + words.len()..].chars().next())
    })
}

fn first_of(text: &str, list: &[&'static str]) -> Option<&'static str> {
    list.iter().copied().find(|words| has_words(text, words))
}

/// `20% off`, `-30 %`, `50 % sale`.
fn has_percentage(text: &str) -> bool {
    text.match_indices('%').any(|(at, _)| {
        text[..at]
            .trim_end()
            .ends_with(|c: char| c.is_ascii_digit() || c == '}')
    })
}

/// All that a person reads, in lower case, with the samples in the places of the variables: reviewers see them so.
fn words_of(template: &MessageTemplate) -> String {
    let mut all = String::new();
    gather(&template.components, &mut all);
    all.to_lowercase()
}

fn gather(components: &[Component], all: &mut String) {
    for component in components {
        match component {
            Component::Header(header) => push(all, &header.text, &header.examples),
            Component::Body(body) => push(all, &body.text, &body.examples),
            Component::Footer(footer) => push(all, &footer.text, &[]),
            Component::Buttons(buttons) => {
                for button in buttons {
                    push(all, &button.text, &[]);
                }
            }
            Component::Carousel(cards) => {
                for card in cards {
                    gather(card, all);
                }
            }
            Component::Other { .. } => {}
        }
    }
}

fn push(all: &mut String, text: &str, examples: &[crate::message_template::Example]) {
    let sample = |name: &str| {
        let one = examples.iter().find(|one| one.name == name)?;
        Some(one.value.as_str())
    };
    all.push_str(&slots::fill(text, sample));
    all.push('\n');
}

/// What makes WhatsApp see marketing, if anything does.
fn promotional(template: &MessageTemplate, words: &str) -> Option<String> {
    let offer = template.components.iter().any(|component| {
        matches!(component, Component::Carousel(_))
            || matches!(component, Component::Other { kind, .. } if kind == "LIMITED_TIME_OFFER")
    });
    let sells = template.buttons().iter().any(|button| {
        matches!(
            button.kind,
            ButtonKind::Catalog
                | ButtonKind::MultiProduct
                | ButtonKind::SingleProduct
                | ButtonKind::CopyCode
        )
    });
    if offer {
        Some("it has cards or a limited offer".to_owned())
    } else if sells {
        Some("its buttons sell or copy a coupon".to_owned())
    } else if let Some(word) = first_of(words, &PROMOTIONAL) {
        Some(format!("it says “{word}”"))
    } else if has_percentage(words) {
        Some("it names a percentage".to_owned())
    } else {
        None
    }
}

/// As what WhatsApp will probably see it.
#[must_use]
pub fn predicted_category(template: &MessageTemplate) -> TemplateCategory {
    let words = words_of(template);
    if template.category == TemplateCategory::Authentication {
        TemplateCategory::Authentication
    } else if promotional(template, &words).is_some() {
        TemplateCategory::Marketing
    } else if first_of(&words, &CODES).is_some() {
        TemplateCategory::Authentication
    } else {
        template.category
    }
}

pub(super) fn lint(template: &MessageTemplate, found: &mut Findings) {
    let words = words_of(template);
    let at = |wanted: fn(&Component) -> bool| template.components.iter().position(wanted);
    let body = at(|part| matches!(part, Component::Body(_)));
    let field = body.map_or_else(
        || "components".to_owned(),
        |at| format!("components[{at}].text"),
    );
    if let Some(short) = template.body().and_then(|body| shortener(&body.text)) {
        found.warning(
            "url_shortener",
            &field,
            format!("hides behind {short} where a link leads"),
            "Use an address of your own domain.",
        );
    }
    if template.category == TemplateCategory::Authentication {
        return;
    }
    let promotional = promotional(template, &words);
    if template.category == TemplateCategory::Utility
        && let Some(why) = &promotional
    {
        found.warning(
            "category_marketing",
            "category",
            format!("WhatsApp will probably see marketing, because {why}"),
            "Take that away, or use the category MARKETING; it costs more and needs consent.",
        );
    } else if promotional.is_none()
        && let Some(word) = first_of(&words, &CODES)
    {
        found.warning(
            "category_authentication",
            "category",
            format!("WhatsApp will probably see a one-time code, because it says “{word}”"),
            "Use the category AUTHENTICATION, whose text is WhatsApp's own.",
        );
    }
    if template.category == TemplateCategory::Marketing && first_of(&words, &OPT_OUT).is_none() {
        found.warning(
            "opt_out",
            "components",
            "does not say how to stop such messages",
            "Add a quick reply such as “Stop promotions”, or say so in the footer: people block who cannot opt out.",
        );
    }
    let shouting = template.body().is_some_and(|body| {
        let letters = body.text.chars().filter(|c| c.is_alphabetic()).count();
        let capital = body.text.chars().filter(|c| c.is_uppercase()).count();
        letters > 20 && capital * 2 > letters
    });
    if shouting {
        found.warning(
            "shouting",
            &field,
            "is written in capitals",
            "Write it as other texts; WhatsApp refuses what looks like spam.",
        );
    }
}
