//! What people want of marketing: the words by which they say so, and what follows for a send.

use serde::{Deserialize, Serialize};

use crate::delivery::Purpose;

/// What a person said about marketing messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Marketing {
    /// They want them.
    OptedIn,
    /// They do not.
    OptedOut,
}

impl Marketing {
    /// The word in the store and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OptedIn => "opted_in",
            Self::OptedOut => "opted_out",
        }
    }

    /// Reads the word of [`Marketing::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::OptedIn, Self::OptedOut]
            .into_iter()
            .find(|marketing| marketing.as_str() == word)
    }
}

/// Where a wish was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentSource {
    /// The person wrote a word for it.
    Keyword,
    /// The person used WhatsApp's own switch.
    Whatsapp,
    /// The provider refused a send because of it.
    Provider,
    /// Somebody of the tenant, or a program, noted it.
    Staff,
}

impl ConsentSource {
    /// The word in the ledger and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Whatsapp => "whatsapp",
            Self::Provider => "provider",
            Self::Staff => "staff",
        }
    }
}

/// The longest word by which somebody opts out or in, in characters.
pub const WORD_MAX: usize = 40;
/// Words of each list at most.
pub const WORDS_MAX: usize = 50;

/// Words by which people opt out where a tenant sets none. A message has to be the word and nothing else: "stop the
/// transfer" is for the bot. Words that menus use (cancel, end, quit) are not among them.
const OPT_OUT: [&str; 26] = [
    "stop",
    "stopall",
    "stop all",
    "unsubscribe",
    "optout",
    "opt out",
    "stopp",
    "abmelden",
    "abbestellen",
    "baja",
    "darme de baja",
    "cancelar suscripcion",
    "parar",
    "sair da lista",
    "descadastrar",
    "arret",
    "arreter",
    "desabonner",
    "disiscriviti",
    "annulla iscrizione",
    "afmelden",
    "durdur",
    "berhenti",
    "रोकें",
    "إلغاء الاشتراك",
    "отписаться",
];

/// Words by which people take an opt-out back where a tenant sets none.
const OPT_IN: [&str; 14] = [
    "start",
    "unstop",
    "subscribe",
    "optin",
    "opt in",
    "anmelden",
    "alta",
    "suscribir",
    "inscrever",
    "abonner",
    "iscriviti",
    "aanmelden",
    "शुरू",
    "подписаться",
];

/// What a tenant sets about consent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConsentSettings {
    /// Words that opt out; `None` for the built-in ones.
    pub opt_out_words: Option<Vec<String>>,
    /// Words that opt in; `None` for the built-in ones, which only take an opt-out back.
    pub opt_in_words: Option<Vec<String>>,
    /// What is answered to an opt-out; `None` for the built-in sentence, empty for nothing.
    pub opt_out_reply: Option<String>,
    /// What is answered to an opt-in.
    pub opt_in_reply: Option<String>,
}

const OPT_OUT_REPLY: &str = "You will get no more marketing messages from us.";
const OPT_IN_REPLY: &str = "Welcome back. You will get our marketing messages again.";

/// A wish that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What they want.
    pub marketing: Marketing,
    /// The word of the list.
    pub word: String,
}

impl ConsentSettings {
    /// The wish that a text is, for somebody who said `present` before.
    #[must_use]
    pub fn wish(&self, text: &str, present: Option<Marketing>) -> Option<Wish> {
        if text.len() > WORD_MAX * 8 {
            return None;
        }
        let said = folded(text);
        if said.is_empty() {
            return None;
        }
        let found = |own: Option<&Vec<String>>, built_in: &[&str]| match own {
            Some(own) => own.iter().find(|word| folded(word) == said).cloned(),
            None => built_in
                .iter()
                .find(|word| folded(word) == said)
                .map(|word| (*word).to_owned()),
        };
        if let Some(word) = found(self.opt_out_words.as_ref(), &OPT_OUT) {
            let marketing = Marketing::OptedOut;
            return Some(Wish { marketing, word });
        }
        // "Start" is how menus begin, too: only somebody who opted out takes that back with a built-in word.
        if self.opt_in_words.is_none() && present != Some(Marketing::OptedOut) {
            return None;
        }
        let word = found(self.opt_in_words.as_ref(), &OPT_IN)?;
        let marketing = Marketing::OptedIn;
        Some(Wish { marketing, word })
    }

    /// What is answered to a wish; `None` for nothing.
    #[must_use]
    pub fn reply(&self, marketing: Marketing) -> Option<&str> {
        let (own, built_in) = match marketing {
            Marketing::OptedOut => (&self.opt_out_reply, OPT_OUT_REPLY),
            Marketing::OptedIn => (&self.opt_in_reply, OPT_IN_REPLY),
        };
        Some(own.as_deref().unwrap_or(built_in)).filter(|text| !text.is_empty())
    }
}

/// How words are compared: without case, accents of Latin letters, punctuation and double blanks.
fn folded(text: &str) -> String {
    let plain = text.chars().flat_map(char::to_lowercase).map(|c| match c {
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        c if c.is_ascii_punctuation() || matches!(c, '¡' | '¿' | '…' | '。' | '！') => ' ',
        c => c,
    });
    let plain: String = plain.collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a message may go to somebody who said this: marketing goes to nobody who does not want it.
#[must_use]
pub fn may_send(purpose: Purpose, said: Option<Marketing>) -> bool {
    purpose != Purpose::Bulk || said != Some(Marketing::OptedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, present: Option<Marketing>) -> Option<Marketing> {
        let settings = ConsentSettings::default();
        settings.wish(text, present).map(|wish| wish.marketing)
    }

    #[test]
    fn a_whole_message_that_is_a_word_opts_out() {
        for text in [
            "STOP",
            " stop. ",
            "Stop!",
            "Abmelden",
            "BAJA",
            "Arrêt",
            "arrêter",
            "رجاء إلغاء الاشتراك",
            "إلغاء الاشتراك",
            "рассылка",
            "Отписаться",
            "रोकें",
            "opt-out",
        ] {
            let expected = !matches!(text, "رجاء إلغاء الاشتراك" | "рассылка");
            assert_eq!(
                said(text, None) == Some(Marketing::OptedOut),
                expected,
                "{text}"
            );
        }
        for text in [
            "stop the transfer",
            "cancel",
            "end",
            "hi",
            "",
            "!",
            "bus stop",
        ] {
            assert_eq!(said(text, None), None, "{text}");
        }
    }

    #[test]
    fn start_is_for_the_menu_unless_somebody_opted_out() {
        assert_eq!(said("start", None), None);
        assert_eq!(said("Start", Some(Marketing::OptedIn)), None);
        let out = Some(Marketing::OptedOut);
        assert_eq!(said("START", out), Some(Marketing::OptedIn));
        assert_eq!(said("stop", out), Some(Marketing::OptedOut));
    }

    #[test]
    fn a_tenants_words_take_the_place_of_the_built_in_ones() {
        let settings = ConsentSettings {
            opt_out_words: Some(vec!["Genug".into()]),
            opt_in_words: Some(vec!["Dabei!".into()]),
            opt_out_reply: Some(String::new()),
            ..ConsentSettings::default()
        };
        let wish = |text: &str| {
            settings
                .wish(text, None)
                .map(|wish| (wish.marketing, wish.word))
        };
        assert_eq!(wish("genug."), Some((Marketing::OptedOut, "Genug".into())));
        assert_eq!(wish("dabei"), Some((Marketing::OptedIn, "Dabei!".into())));
        assert_eq!(wish("stop"), None);
        assert_eq!(settings.reply(Marketing::OptedOut), None);
        assert!(settings.reply(Marketing::OptedIn).is_some());
    }

    #[test]
    fn only_marketing_needs_a_wish() {
        let out = Some(Marketing::OptedOut);
        assert!(!may_send(Purpose::Bulk, out));
        assert!(may_send(Purpose::Bulk, None) && may_send(Purpose::Bulk, Some(Marketing::OptedIn)));
        assert!(may_send(Purpose::Reply, out) && may_send(Purpose::Transactional, out));
    }

    #[test]
    fn the_built_in_words_are_folded_already() {
        for word in OPT_OUT.iter().chain(&OPT_IN) {
            assert_eq!(folded(word), *word);
            assert!(word.chars().count() <= WORD_MAX);
        }
    }
}
