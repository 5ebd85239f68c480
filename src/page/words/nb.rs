//! Norwegian Bokmål.

use portvakt_core::identity::Kind;

use super::{Labels, Page, Wait, Words};

pub(super) const LABELS: Labels = Labels {
    log_in_again: "Logg inn på nytt",
    log_in_otherwise: "Logg inn på en annen måte",
    log_in_in_new_tab: "Logg inn (åpnes i en ny fane)",
    come_back_and_send: "Kom tilbake til denne fanen når du har logget inn, og send.",
    send: "Send",
    try_again: "Prøv igjen",
    start: "Gå til forsiden",
    log_out: "Logg ut",
    log_out_again: "Prøv å logge ut på nytt",
    finish_logout: "Fullfør utloggingen",
    reference: "Referanse:",
    use_of_reference: "Oppgi referansen hvis du tar kontakt om dette.",
    language: "Språk",
    remember: "Husk valget i denne nettleseren",
    go_on: "Gå videre",
};

pub(super) fn logout() -> Words {
    Words::new(
        "Vi logger deg ut",
        "Du er logget ut her. Nå logger vi deg også ut av innloggingstjenesten.",
        "Trykk på knappen hvis det ikke går videre av seg selv.",
    )
}

pub(super) fn kept_form() -> Words {
    Words::new(
        "Logg inn for å sende",
        "Det du ville sende, er ikke sendt ennå. Du må først logge inn, på nytt eller på en sikrere \
         måte.",
        "Vi tar vare på det her på siden i 15 minutter. La denne fanen stå åpen, og gjør slik:",
    )
}

pub(super) fn organisations() -> Words {
    Words::new(
        "Hvem representerer du?",
        "Du kan handle på vegne av flere virksomheter.",
        "Velg den du vil representere nå. Du kan bytte senere uten å logge inn på nytt.",
    )
}

pub(super) fn resent_form() -> Words {
    Words::new(
        "Vi sender det du ville sende",
        "Du er logget inn. Nå sender vi det du ville sende.",
        "Trykk på knappen hvis det ikke går videre av seg selv.",
    )
}

pub(super) fn choice() -> Words {
    Words::new(
        "Hvordan vil du logge inn?",
        "Du må logge inn for å komme videre. Velg den måten som passer for deg.",
        "",
    )
}

pub(super) fn onward() -> Words {
    Words::new(
        "Du blir sendt videre",
        "Vi sender deg videre til innloggingen.",
        "Trykk på knappen hvis det ikke går videre av seg selv.",
    )
}

pub(super) fn way(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::National => ("Norsk eID", "Med BankID, MinID eller annen norsk eID"),
        Kind::Eidas => ("Europeisk eID", "Med elektronisk ID fra et annet europeisk land"),
        Kind::Employee => ("Ansatt", "For deg som kommer på vegne av en virksomhet"),
        Kind::Email => ("E-post", "Med en kode som blir sendt til e-postadressen din"),
        Kind::Helper | Kind::Pseudonymous => ("Innlogging fra utlandet", "For deg uten norsk eID"),
        // It never comes this way.
        Kind::Machine => ("", ""),
    }
}

pub(super) fn words(page: &Page) -> Words {
    match *page {
        Page::LoginRequired => Words::new(
            "Du må logge inn",
            "Det du ville sende, er ikke sendt, og vi kunne ikke ta vare på det. Du må først logge inn, \
             på nytt eller på en sikrere måte.",
            "Logg inn i en ny fane. Kom så tilbake til denne fanen, gå ett steg tilbake i nettleseren, og \
             send på nytt. Der står det du skrev, som regel fortsatt.",
        ),
        Page::FormGone => Words::new(
            "Det du ville sende, er ikke lenger her",
            "Det gikk for lang tid, eller det kom ikke fram til oss slik det var. Denne gangen er ingenting sendt.",
            "Gå tilbake i nettleseren til siden der du skrev, og se om teksten fortsatt står der. Ellers \
             må du begynne på nytt fra forsiden.",
        ),
        Page::LoginExpired => Words::new(
            "Innloggingen gjelder ikke lenger",
            "Innloggingen tok for lang tid, eller du har kommet tilbake til en gammel innloggingsside.",
            "Logg inn på nytt. Da går det som regel bra.",
        ),
        Page::LoginCancelled => Words::new(
            "Innloggingen ble avbrutt",
            "Du er ikke logget inn.",
            "Vil du logge inn likevel, kan du prøve igjen.",
        ),
        Page::LoginEnded => Words::new(
            "Du er logget ut",
            "Mens du logget inn her, ble du logget ut fra en annen tjeneste eller en annen fane.",
            "Vil du fortsette, kan du logge inn på nytt.",
        ),
        Page::LoginRefused => Words::new(
            "Vi fikk ikke logget deg inn",
            "Vi kunne ikke kontrollere svaret fra innloggingstjenesten. For din sikkerhet stoppet vi innloggingen.",
            "Prøv igjen. Skjer det samme en gang til, kontakt dem som driver tjenesten du skal bruke.",
        ),
        Page::LoginNotSetUp => Words::new(
            "Innloggingen er ikke satt opp riktig",
            "Vi stoppet innloggingen, for du kunne ikke ha blitt logget ut igjen overalt. Feilen er vår, ikke din.",
            "Kontakt dem som driver tjenesten du skal bruke, og oppgi referansen nedenfor. Prøv igjen når det er rettet.",
        ),
        Page::LoginLoop => Words::new(
            "Nettleseren husker ikke innloggingen",
            "Vi har prøvd flere ganger, men nettleseren tar ikke vare på at du har logget inn. \
             Det skjer gjerne når informasjonskapsler (cookies) er slått av.",
            "Tillat informasjonskapsler for denne siden, eller bruk en annen nettleser. Prøv så igjen.",
        ),
        Page::LevelTooLow => Words::new(
            "Du må logge inn på en sikrere måte",
            "Siden du skal til, krever en sikrere innlogging enn den du har brukt.",
            "Logg inn på nytt, og velg en innlogging med høyere sikkerhet, for eksempel BankID.",
        ),
        Page::LevelUnreachable => Words::new(
            "Innloggingen er ikke sikker nok",
            "Siden du skal til, krever en sikrere innlogging, og innloggingstjenesten kunne ikke gi deg det.",
            "Prøv igjen med en annen innlogging, for eksempel BankID. \
             Har du ingen annen, kontakt dem som driver tjenesten du skal bruke.",
        ),
        Page::LoginTooOld => Words::new(
            "Du må bekrefte på nytt hvem du er",
            "Siden du skal til, krever at du har logget inn nylig. Innloggingstjenesten brukte en eldre innlogging.",
            "Logg inn på nytt. Skjer det samme en gang til, logg ut først.",
        ),
        Page::NationalNumberNeeded => Words::new(
            "Her trengs norsk fødselsnummer eller D-nummer",
            "Tjenesten er for privatpersoner med norsk fødselsnummer eller D-nummer. \
             Innloggingen du brukte, er av en annen type.",
            "Har du et slikt nummer, logg inn på en annen måte, for eksempel med BankID eller MinID. \
             Har du ikke det, kontakt dem som driver tjenesten.",
        ),
        Page::EuropeanIdNeeded => Words::new(
            "Her trengs en europeisk eID",
            "Tjenesten er for dem som har en godkjent elektronisk ID (eID) fra et annet europeisk land. \
             Innloggingen du brukte, er av en annen type.",
            "Har du en slik eID, logg inn på en annen måte, og velg landet den kommer fra. \
             Har du ikke det, kontakt dem som driver tjenesten.",
        ),
        Page::ElectronicIdNeeded => Words::new(
            "Her trengs en norsk eller europeisk eID",
            "Tjenesten krever at du logger inn med en elektronisk ID (eID) fra Norge eller et annet europeisk land. \
             Innloggingen du brukte, er av en annen type.",
            "Logg inn på en annen måte, for eksempel med BankID eller med en eID fra landet du kommer fra.",
        ),
        Page::EmployeeNeeded => Words::new(
            "Her må du logge inn som ansatt",
            "Tjenesten er for dem som kommer på vegne av en virksomhet. Innloggingen du brukte, er for privatpersoner.",
            "Logg inn på en annen måte, og velg virksomheten du kommer for.",
        ),
        Page::WrongKind => Words::new(
            "Siden krever en annen innlogging",
            "Du er logget inn, men på en måte som ikke kan brukes her. \
             Noen sider krever norsk fødselsnummer, og noen krever at du logger inn for en virksomhet.",
            "Logg inn på en annen måte. \
             Er du usikker på hva som kreves, kontakt dem som driver tjenesten.",
        ),
        Page::WrongProvider => Words::new(
            "Siden krever en annen innloggings\u{ad}tjeneste",
            "Du er logget inn, men gjennom en innloggingstjeneste som ikke kan brukes til denne siden.",
            "Logg inn på en annen måte. Går det ikke, kontakt dem som driver tjenesten.",
        ),
        Page::WrongCountry => Words::new(
            "Siden tar ikke imot eID fra landet ditt",
            "Du er logget inn med en elektronisk ID fra et land som siden ikke er åpen for.",
            "Har du en eID fra et annet land, for eksempel Norge, kan du logge inn med den. \
             Kontakt ellers dem som driver tjenesten.",
        ),
        Page::WrongMethod => Words::new(
            "Siden godtar ikke måten du logget inn på",
            "Du er logget inn, men på en måte som ikke er godkjent for denne siden.",
            "Logg inn på nytt, og velg en annen innlogging enn sist.",
        ),
        Page::RepresentsNobody => Words::new(
            "Du representerer ingen virksomhet",
            "Du er logget inn, men du har ikke valgt en virksomhet, eller du har ikke rett til å opptre for noen. \
             Siden er bare for dem som kommer for en virksomhet.",
            "Logg inn på nytt, og velg en virksomhet. Mangler den, be virksomheten om å gi deg tilgang i Altinn.",
        ),
        Page::WrongOrganisation => Words::new(
            "Virksomheten har ikke tilgang",
            "Du er logget inn for en virksomhet som siden ikke er åpen for.",
            "Logg inn på nytt, og velg en annen virksomhet. \
             Skal virksomheten ha tilgang, kontakt dem som driver tjenesten.",
        ),
        Page::ProviderDown { retry_after_seconds } => Words::new(
            "Innloggingen virker ikke akkurat nå",
            "Vi får ikke kontakt med innloggingstjenesten. Det er ikke noe galt hos deg.",
            try_again_in(retry_after_seconds),
        ),
        Page::ProviderBusy { retry_after_seconds } => Words::new(
            "Mange logger inn akkurat nå",
            "Det er så stor pågang at du må vente litt før du kan logge inn.",
            try_again_in(retry_after_seconds),
        ),
        Page::TooManyRequests { retry_after_seconds } => Words::new(
            "Vent litt før du prøver igjen",
            "Det har vært mange forsøk på kort tid fra nettet du bruker. Det kan komme fra andre på samme nett.",
            try_again_in(retry_after_seconds),
        ),
        Page::SessionsUncertain { retry_after_seconds } => Words::new(
            "Vi kan ikke vise siden akkurat nå",
            "Vi får ikke kontrollert om du fortsatt er logget inn. For din sikkerhet viser vi derfor ikke siden.",
            try_again_in(retry_after_seconds),
        ),
        Page::AccessTokenMissing { retry_after_seconds } => Words::new(
            "Vi kan ikke vise siden akkurat nå",
            "Siden trenger noe fra innloggingstjenesten som vi ikke får akkurat nå. Du er fortsatt logget inn, og det er ikke noe galt hos deg.",
            try_again_in(retry_after_seconds),
        ),
        Page::CrossSite => Words::new(
            "Dette ble stoppet",
            "Det som skulle vises eller sendes her, ble bedt om av en annen nettside. For å beskytte deg tar vi ikke \
             imot det. Ingenting er sendt inn.",
            "Gå til forsiden, og gjør det du skulle, derfra.",
        ),
        Page::Maintenance { retry_after_seconds } => Words::new(
            "Tjenesten er stengt en stund",
            "Vi arbeider med tjenesten du skal bruke. Det er ikke noe galt hos deg. Det du eventuelt sendte nå, kom ikke fram.",
            try_again_in(retry_after_seconds),
        ),
        Page::Overloaded { retry_after_seconds } => Words::new(
            "Mange er innom akkurat nå",
            "Det er så stor pågang at vi ikke kan ta imot flere i øyeblikket. Det er ikke noe galt hos deg.",
            try_again_in(retry_after_seconds),
        ),
        Page::NotFound => Words::new(
            "Vi finner ikke siden",
            "Siden kan være flyttet eller fjernet, eller det kan være en feil i adressen.",
            "Kontroller adressen, eller finn fram fra forsiden.",
        ),
        Page::MethodNotAllowed => Words::new(
            "Siden kan ikke brukes slik",
            "Siden ble åpnet på en måte som ikke virker her. Det du eventuelt sendte, kom ikke fram.",
            "Gå til forsiden, og finn fram derfra.",
        ),
        Page::BadRequest => Words::new(
            "Adressen virker ikke",
            "Det er en feil i adressen eller i det som ble sendt. \
             Lenker fra e-post og andre nettsteder kan være ødelagt.",
            "Gå til forsiden, og finn fram derfra.",
        ),
        Page::TooLong => Words::new(
            "Adressen er for lang",
            "Adressen til siden er lengre enn vi kan ta imot.",
            "Gå til forsiden, og finn fram derfra.",
        ),
        Page::WrongHost => Words::new(
            "Her er det ingen side",
            "Det finnes ingen tjeneste på adressen som står i nettleseren.",
            "Kontroller adressen. Kom du hit fra en lenke, kan det være feil i lenken.",
        ),
        Page::InsecureTransport => Words::new(
            "Siden ble åpnet uten kryptering",
            "Uten kryptering kan andre lese det som blir sendt. For din sikkerhet viser vi derfor ikke siden.",
            "Bytt ut http:// med https:// først i adressen, og prøv igjen.",
        ),
        Page::AppUnreachable => Words::new(
            "Tjenesten svarer ikke",
            "Vi får ikke kontakt med tjenesten du skal bruke. Det er ikke noe galt hos deg.",
            TRY_AND_LOOK,
        ),
        Page::AppTooSlow => Words::new(
            "Tjenesten bruker for lang tid",
            "Vi har ventet, men tjenesten du skal bruke, har ikke svart. Det er ikke noe galt hos deg.",
            TRY_AND_LOOK,
        ),
        Page::AppBusy { retry_after_seconds } => Words::new(
            "Mange bruker tjenesten akkurat nå",
            "Tjenesten du skal bruke, kan ikke ta imot flere i øyeblikket. Det er ikke noe galt hos deg.",
            try_again_in(retry_after_seconds),
        ),
        Page::TooLarge => Words::new(
            "Det du sendte, er for stort",
            "Tjenesten tar ikke imot så mye på en gang.",
            "Send mindre, for eksempel en mindre fil.",
        ),
        Page::InternalError => Words::new(
            "Noe gikk galt hos oss",
            "Det har oppstått en feil. Det er ikke noe galt hos deg.",
            TRY_AND_LOOK,
        ),
        Page::SignedOut => Words::new(
            "Du er logget ut",
            "Du er logget ut her og av innloggingstjenesten.",
            "Bruker andre den samme maskinen, bør du også lukke nettleseren.",
        ),
        Page::SignedOutLocallyOnly => Words::new(
            "Du er logget ut her, men kanskje ikke andre steder",
            "Vi fikk ikke logget deg ut av innloggingstjenesten. \
             Du kan fortsatt være logget inn der og i andre tjenester.",
            "Prøv å logge ut på nytt. Går det ikke, lukk alle vinduene i nettleseren. \
             Det er særlig viktig hvis andre bruker den samme maskinen.",
        ),
    }
}

const TRY_AND_LOOK: &str = "Prøv igjen om noen minutter. Har du nettopp sendt inn noe, kontroller om det kom fram \
                            før du sender det på nytt.";

fn try_again_in(seconds: u32) -> String {
    match Wait::of(seconds) {
        Wait::Moment => "Vent et øyeblikk, og prøv igjen.".to_owned(),
        Wait::Minute => "Prøv igjen om et minutt.".to_owned(),
        Wait::Minutes(minutes) => format!("Prøv igjen om {minutes} minutter."),
        Wait::Long => "Prøv igjen senere.".to_owned(),
    }
}
