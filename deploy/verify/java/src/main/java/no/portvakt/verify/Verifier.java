package no.portvakt.verify;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.InputStream;
import java.math.BigInteger;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.security.spec.EdECPoint;
import java.security.spec.EdECPublicKeySpec;
import java.security.spec.NamedParameterSpec;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Checks that a request was made by Portvakt, the gateway in front of this application, and says for whom.
 *
 * <p>For Java 17 and later; needs jackson-databind and nothing else. What it demands is listed in
 * deploy/verify/README.md. It fails closed: a request that it does not understand is refused. May be shared by
 * threads.
 */
public final class Verifier {
    private static final long LEEWAY = 10; // seconds that clocks may differ
    private static final long LIFE = 30; // seconds that a signature lives
    private static final long ASSERTION_LIFE = 60;
    private static final int MAX_NONCES = 1_000_000; // more within LIFE + LEEWAY are refused: fail closed

    private static final List<String> COMPONENTS =
            List.of("@method", "@authority", "@path", "@query", "x-portvakt-audience");
    private static final Map<String, String> JWK_ALG = Map.of("ed25519", "EdDSA", "ecdsa-p256-sha256", "ES256");
    // What the assertion says too must be the same there: who it is, and for whom. Names of persons may be encoded otherwise.
    private static final Map<String, String> TWICE = Map.ofEntries(
            Map.entry("kind", "/kind"), Map.entry("fnr", "/fnr"), Map.entry("loa", "/loa"), Map.entry("acr", "/acr"),
            Map.entry("subject", "/sub"), Map.entry("session", "/session"), Map.entry("provider", "/provider"),
            Map.entry("eidas_identifier", "/eidas/identifier"), Map.entry("eidas_country", "/eidas/country"),
            Map.entry("match_key", "/match_key"), Map.entry("pseudonym", "/pseudonym"), Map.entry("fhnummer", "/fhnummer"),
            Map.entry("org", "/orgs"), Map.entry("authorizer_fnr", "/authorizer/fnr"),
            Map.entry("on_behalf_of", "/on_behalf_of"), Map.entry("consumer", "/consumer"),
            Map.entry("supplier", "/supplier"), Map.entry("scope", "/scope"));

    private static final Map<String, Predicate<JsonNode>> CONFIGURATION =
            Map.of("audience", JsonNode::isTextual, "signature", JsonNode::isObject, "assertion", JsonNode::isObject);
    private static final Predicate<JsonNode> KEYS = value -> value.isTextual() || value.isArray();
    private static final Map<String, Predicate<JsonNode>> SIGNATURE_KEYS = Map.of(
            "algorithm", JsonNode::isTextual, "keys", KEYS, "secrets", JsonNode::isObject, "nonces", JsonNode::isBoolean,
            "headers", JsonNode::isArray, "content_digest", JsonNode::isBoolean, "insecure_http_keys", JsonNode::isBoolean);
    private static final Map<String, Predicate<JsonNode>> ASSERTION_KEYS = Map.of(
            "algorithm", JsonNode::isTextual, "keys", KEYS, "issuer", JsonNode::isTextual, "insecure_http_keys", JsonNode::isBoolean);

    private static final Pattern INPUT = Pattern.compile(
            "portvakt=(\\((\"[^\"\\\\]*\"(?: \"[^\"\\\\]*\")*)\\)((?:;[a-z]+=(?:[0-9]+|\"[^\"\\\\]*\"))*))");
    private static final Pattern PARAMETER = Pattern.compile(";([a-z]+)=([0-9]+|\"[^\"\\\\]*\")");
    private static final Pattern SIGNATURE = Pattern.compile("portvakt=:([A-Za-z0-9+/]+={0,2}):");
    private static final Pattern EDGES = Pattern.compile("^[ \t]+|[ \t]+$");
    private static final Pattern SIGNABLE = Pattern.compile("[ -~]*");
    private static final Pattern SECONDS = Pattern.compile("[0-9]{1,12}");
    private static final ObjectMapper JSON =
            new ObjectMapper().enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION);

    /** The request was not made by the gateway for this application. The text is for the log, not the client. */
    public static final class Refused extends Exception {
        private static final long serialVersionUID = 1L;

        Refused(String why) {
            super(why);
        }
    }

    /** One line of a request's header. */
    public record Field(String name, String value) {}

    private final String audience;
    private final JsonNode signature;
    private final JsonNode assertion;
    private final Map<String, byte[]> secrets = new HashMap<>();
    private final Map<String, String> named = new HashMap<>(); // `headers`, by their folded names
    private final KeySet keys;
    private final KeySet assertionKeys;
    private final Map<String, Long> nonces = new HashMap<>();
    private long pruned;
    private int pruneAt = 1024;
    private final LongSupplier clock;

    /**
     * Knows what to expect.
     *
     * @param config the JSON that deploy/verify/README.md describes
     */
    public Verifier(String config) {
        this(config, () -> System.currentTimeMillis() / 1000);
    }

    /** With a clock that gives Unix seconds. */
    public Verifier(String config, LongSupplier clock) {
        try {
            JsonNode read = JSON.readTree(config);
            judge(read, CONFIGURATION);
            judge(read.path("signature"), SIGNATURE_KEYS);
            judge(read.path("assertion"), ASSERTION_KEYS);
            this.clock = clock;
            audience = read.path("audience").asText();
            signature = read.path("signature");
            assertion = read.path("assertion");
            if (audience.isEmpty() || (signature.isMissingNode() && assertion.isMissingNode())) {
                throw new IllegalArgumentException("say `audience`, and `signature`, `assertion` or both");
            }
            for (JsonNode name : signature.path("headers")) {
                String lower = name.asText().toLowerCase(Locale.ROOT);
                named.put(fold(lower), lower);
            }
            String algorithm = signature.path("algorithm").asText();
            if (algorithm.equals("hmac-sha256")) {
                for (var secret : signature.path("secrets").properties()) {
                    byte[] bytes = base64url(secret.getValue().asText());
                    if (bytes.length != 32) {
                        throw new IllegalArgumentException("a secret is 32 bytes in base64url");
                    }
                    secrets.put(secret.getKey(), bytes);
                }
            } else if (!signature.isMissingNode() && !JWK_ALG.containsKey(algorithm)) {
                throw new IllegalArgumentException("no such algorithm: " + algorithm);
            }
            keys = new KeySet(signature, clock);
            assertionKeys = new KeySet(assertion, clock);
            if (!assertion.isMissingNode()
                    && (!List.of("ES256", "EdDSA").contains(assertion.path("algorithm").asText())
                            || assertion.path("issuer").asText().isEmpty())) {
                throw new IllegalArgumentException("`assertion` names `algorithm` (ES256 or EdDSA), `issuer` and `keys`");
            }
        } catch (java.io.IOException | Refused error) {
            throw new IllegalArgumentException("the configuration cannot be read", error);
        }
    }

    /** A misspelt key would switch off what it was to demand. */
    private static void judge(JsonNode given, Map<String, Predicate<JsonNode>> known) {
        for (var pair : given.properties()) {
            Predicate<JsonNode> fits = known.get(pair.getKey());
            if (fits == null) {
                throw new IllegalArgumentException("no such key: " + pair.getKey());
            }
            if (!fits.test(pair.getValue())) {
                throw new IllegalArgumentException('`' + pair.getKey() + "` is of another type");
            }
        }
        for (JsonNode name : given.path("headers")) {
            if (!name.isTextual()) {
                throw new IllegalArgumentException("`headers` is a list of names");
            }
        }
    }

    /** Whether {@link #check} needs the body. */
    public boolean needsBody() {
        return signature.path("content_digest").asBoolean();
    }

    /**
     * Who is logged in.
     *
     * @param target as it stood in the request line
     * @return the facts of {@code X-Identity-…} by name, such as {@code fnr}; empty for nobody
     */
    public Map<String, String> check(String method, String target, List<Field> headers, byte[] body) throws Refused {
        List<Field> lower = new ArrayList<>();
        for (Field field : headers) {
            lower.add(new Field(field.name().toLowerCase(Locale.ROOT), EDGES.matcher(field.value()).replaceAll("")));
        }
        Set<String> covered = signature.isMissingNode() ? null : checkSignature(method, target, lower, body);
        Map<String, String> told = new LinkedHashMap<>();
        Set<String> seen = new java.util.HashSet<>();
        for (Field field : lower) {
            String name = field.name();
            String folded = fold(name);
            String other = named.get(folded);
            if (other == null && !folded.startsWith("x-identity")) {
                continue;
            }
            boolean ours = other == null ? folded.equals(name) && name.startsWith("x-identity-") : name.equals(other);
            if (!ours || !seen.add(name)) {
                throw new Refused("an identity header that the gateway does not write");
            }
            if (covered != null && !covered.contains(name)) {
                throw new Refused("an identity header that the signature does not cover");
            }
            if (other == null) {
                told.put(name.substring("x-identity-".length()).replace('-', '_'), field.value());
            }
        }
        return assertion.isMissingNode() ? told : asserted(told);
    }

    private Set<String> checkSignature(String method, String target, List<Field> headers, byte[] body) throws Refused {
        Matcher input = INPUT.matcher(only(headers, "signature-input"));
        if (!input.matches()) {
            throw new Refused("Signature-Input is not the gateway's");
        }
        Set<String> names = new java.util.LinkedHashSet<>();
        for (String name : input.group(2).split(" ")) {
            if (!names.add(name.substring(1, name.length() - 1))) {
                throw new Refused("something is said twice");
            }
        }
        Map<String, String> given = new HashMap<>();
        for (Matcher pair = PARAMETER.matcher(input.group(3)); pair.find();) {
            if (given.put(pair.group(1), pair.group(2)) != null) {
                throw new Refused("something is said twice");
            }
        }
        String algorithm = signature.path("algorithm").asText();
        String quoted = '"' + algorithm + '"';
        if (!"\"portvakt\"".equals(given.get("tag")) || !quoted.equals(given.getOrDefault("alg", quoted))) {
            throw new Refused("another tag or algorithm");
        }
        if (!names.containsAll(COMPONENTS) || (needsBody() && !names.contains("content-digest"))) {
            throw new Refused("the signature does not cover enough");
        }
        long now = clock.getAsLong();
        long created = seconds(given.get("created"));
        long expires = seconds(given.get("expires"));
        if (created > now + LEEWAY || expires + LEEWAY < now || expires <= created || expires - created > LIFE) {
            throw new Refused("not now");
        }
        Matcher encoded = SIGNATURE.matcher(only(headers, "signature"));
        if (!encoded.matches()) {
            throw new Refused("Signature is not the gateway's");
        }
        byte[] base = base(names, input.group(1), method, target, headers);
        String kid = given.getOrDefault("keyid", "\"\"").replace("\"", "");
        checkBytes(kid, algorithm, base, decode(Base64.getDecoder(), encoded.group(1)));
        if (!only(headers, "x-portvakt-audience").equals(audience)) {
            throw new Refused("for another audience");
        }
        if (needsBody()) {
            for (Field field : headers) {
                if (field.name().equals("content-length") && !field.value().equals(String.valueOf(body.length))) {
                    throw new Refused("a body that somebody read before");
                }
            }
            String digest = "sha-256=:" + Base64.getEncoder().encodeToString(sha256(body)) + ":";
            if (!only(headers, "content-digest").equals(digest)) {
                throw new Refused("another body");
            }
        }
        if (signature.path("nonces").asBoolean()) {
            remember(given.get("nonce"), expires, now);
        }
        return names;
    }

    private static byte[] base(Set<String> names, String parameters, String method, String target, List<Field> headers)
            throws Refused {
        int mark = target.indexOf('?');
        StringBuilder base = new StringBuilder();
        for (String name : names) {
            String value = switch (name) {
                case "@method" -> method;
                case "@authority" -> only(headers, "host").toLowerCase(Locale.ROOT);
                case "@path" -> mark < 0 ? target : target.substring(0, mark);
                case "@query" -> mark < 0 ? "?" : target.substring(mark);
                default -> only(headers, name);
            };
            if (!SIGNABLE.matcher(value).matches()) {
                throw new Refused("a value that cannot be signed");
            }
            base.append('"').append(name).append("\": ").append(value).append('\n');
        }
        return base.append("\"@signature-params\": ").append(parameters).toString().getBytes(StandardCharsets.US_ASCII);
    }

    private void checkBytes(String kid, String algorithm, byte[] base, byte[] signature) throws Refused {
        if (!algorithm.equals("hmac-sha256")) {
            verify(keys.find(kid, JWK_ALG.get(algorithm)), base, signature);
            return;
        }
        byte[] secret = secrets.get(kid);
        if (secret == null || !MessageDigest.isEqual(hmac(secret, base), signature)) {
            throw new Refused("the signature is wrong");
        }
    }

    private Map<String, String> asserted(Map<String, String> told) throws Refused {
        String token = told.remove("assertion");
        if (token == null) {
            if (!told.isEmpty()) {
                throw new Refused("identity headers without an assertion");
            }
            return Map.of();
        }
        JsonNode claims = claims(token);
        for (var twice : TWICE.entrySet()) {
            String said = told.get(twice.getKey());
            if (said != null && !says(said, claims.at(twice.getValue()))) {
                throw new Refused("headers and assertion disagree");
            }
        }
        Map<String, String> facts = new LinkedHashMap<>();
        for (var claim : claims.properties()) {
            facts.put(claim.getKey(), claim.getValue().isValueNode() ? claim.getValue().asText() : claim.getValue().toString());
        }
        return facts;
    }

    private static boolean says(String header, JsonNode claim) {
        if (claim.isArray()) {
            List<String> texts = new ArrayList<>();
            claim.forEach(one -> texts.add(one.asText()));
            return List.of(",", ";", "^", "|").stream().anyMatch(separator -> String.join(separator, texts).equals(header));
        }
        if (!claim.isTextual()) {
            return false;
        }
        // Some are percent-encoded, as the contract has it.
        StringBuilder coded = new StringBuilder();
        for (byte letter : claim.asText().getBytes(StandardCharsets.UTF_8)) {
            boolean plain = letter >= ' ' && letter <= '~' && letter != '%';
            coded.append(plain ? String.valueOf((char) letter) : String.format("%%%02X", letter));
        }
        return claim.asText().equals(header) || coded.toString().equals(header);
    }

    private JsonNode claims(String token) throws Refused {
        String[] parts = token.split("\\.", -1);
        if (parts.length != 3) {
            throw new Refused("no assertion");
        }
        JsonNode header = json(base64url(parts[0]));
        JsonNode claims = json(base64url(parts[1]));
        String wanted = assertion.path("algorithm").asText();
        if (!header.path("alg").asText().equals(wanted) || !header.path("typ").asText().equals("JWT") || header.has("crit")) {
            throw new Refused("an assertion of another kind");
        }
        JsonNode key = assertionKeys.find(header.path("kid").asText(), wanted);
        verify(key, (parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII), base64url(parts[2]));
        JsonNode iat = claims.path("iat");
        JsonNode exp = claims.path("exp");
        if (!iat.canConvertToLong() || !iat.isIntegralNumber() || !exp.canConvertToLong() || !exp.isIntegralNumber()) {
            throw new Refused("an assertion without times");
        }
        long now = clock.getAsLong();
        if (iat.asLong() > now + LEEWAY || exp.asLong() + LEEWAY < now || exp.asLong() <= iat.asLong()
                || exp.asLong() - iat.asLong() > ASSERTION_LIFE) {
            throw new Refused("not now");
        }
        if (!text(claims, "iss").equals(assertion.path("issuer").asText()) || !text(claims, "aud").equals(audience)) {
            throw new Refused("by another issuer or for another audience");
        }
        for (String name : List.of("sub", "kind", "session")) {
            text(claims, name);
        }
        return claims;
    }

    private synchronized void remember(String nonce, long expires, long now) throws Refused {
        // Whenever it has doubled, and at most once a second when it is full.
        if (nonces.size() >= pruneAt && now - pruned >= 1) {
            nonces.values().removeIf(end -> end + LEEWAY < now);
            pruneAt = Math.min(MAX_NONCES, Math.max(1024, 2 * nonces.size()));
            pruned = now;
        }
        if (nonce == null || nonces.size() >= MAX_NONCES || nonces.putIfAbsent(nonce, expires) != null) {
            throw new Refused("replayed");
        }
    }

    /** The published keys, fetched when they are five minutes old or lack a kid, at most once a minute. */
    private static final class KeySet {
        private static final Pattern SAFE =
                Pattern.compile("(https://|http://(localhost|127\\.0\\.0\\.1|\\[::1\\])[:/]).*");

        private final String url;
        private final LongSupplier clock;
        private final ReentrantLock fetching = new ReentrantLock();
        private volatile JsonNode keys;
        private volatile long fetched = Long.MIN_VALUE / 2;
        private long tried = Long.MIN_VALUE / 2; // under `fetching`

        KeySet(JsonNode source, LongSupplier clock) {
            JsonNode keys = source.path("keys");
            this.url = keys.isTextual() ? keys.asText() : null;
            this.keys = keys.isArray() ? keys : JSON.createArrayNode();
            this.clock = clock;
            // Who is on the way to http is the gateway.
            if (url != null && !source.path("insecure_http_keys").asBoolean() && !SAFE.matcher(url).matches()) {
                throw new IllegalArgumentException("`keys` are fetched over https, from elsewhere than this machine");
            }
        }

        JsonNode find(String kid, String alg) throws Refused {
            if (url != null) {
                refresh(kid);
            }
            JsonNode found = null;
            for (JsonNode key : keys) {
                if (key.path("kid").asText().equals(kid) && key.path("alg").asText().equals(alg)) {
                    if (found != null) {
                        throw new Refused("two keys of one id");
                    }
                    found = key;
                }
            }
            if (found == null) {
                throw new Refused("a key that is not published");
            }
            return found;
        }

        private void refresh(String kid) {
            long now = clock.getAsLong();
            boolean known = false;
            for (JsonNode key : keys) {
                known |= key.path("kid").asText().equals(kid);
            }
            if (known && now - fetched < 300) {
                return;
            }
            // Who has no key waits for whom is fetching; the others go on with what is here.
            if (!known) {
                fetching.lock();
            } else if (!fetching.tryLock()) {
                return;
            }
            try {
                if (now - tried >= 60) {
                    tried = now;
                    JsonNode fresh = fetch();
                    boolean whole = fresh.isArray() && !fresh.isEmpty();
                    for (JsonNode key : fresh) {
                        whole &= key.isObject();
                    }
                    if (whole) { // what is no key set takes the place of none
                        keys = fresh;
                        fetched = now;
                    }
                }
            } finally {
                fetching.unlock();
            }
        }

        /** In five seconds, or not at all: the keys that are here go on. */
        private JsonNode fetch() {
            HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
            HttpRequest request = HttpRequest.newBuilder(URI.create(url)).build();
            CompletableFuture<HttpResponse<InputStream>> answer =
                    client.sendAsync(request, HttpResponse.BodyHandlers.ofInputStream());
            try {
                return answer.thenApplyAsync(KeySet::read).get(5, TimeUnit.SECONDS);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            } catch (ExecutionException | TimeoutException error) {
                answer.cancel(true);
                answer.thenAccept(KeySet::close);
            }
            return JSON.missingNode();
        }

        private static JsonNode read(HttpResponse<InputStream> answer) {
            try (InputStream body = answer.body()) {
                return answer.statusCode() == 200 ? JSON.readTree(body.readNBytes(1_000_000)).path("keys") : JSON.missingNode();
            } catch (java.io.IOException error) {
                return JSON.missingNode();
            }
        }

        private static void close(HttpResponse<InputStream> answer) {
            try {
                answer.body().close();
            } catch (java.io.IOException error) {
                return; // it is closed
            }
        }
    }

    private static void verify(JsonNode jwk, byte[] message, byte[] signature) throws Refused {
        boolean valid = false;
        try {
            String kind = jwk.path("kty").asText() + " " + jwk.path("crv").asText();
            if (kind.equals("OKP Ed25519")) {
                valid = valid("Ed25519", ed25519(jwk), message, signature);
            } else if (kind.equals("EC P-256") && signature.length == 64) {
                valid = valid("SHA256withECDSAinP1363Format", p256(jwk), message, signature);
            }
        } catch (GeneralSecurityException error) {
            valid = false;
        }
        if (!valid) {
            throw new Refused("the signature is wrong");
        }
    }

    private static boolean valid(String algorithm, PublicKey key, byte[] message, byte[] signature)
            throws GeneralSecurityException {
        Signature verifier = Signature.getInstance(algorithm);
        verifier.initVerify(key);
        verifier.update(message);
        return verifier.verify(signature);
    }

    private static PublicKey ed25519(JsonNode jwk) throws GeneralSecurityException, Refused {
        byte[] bytes = base64url(jwk.path("x").asText());
        if (bytes.length != 32) {
            throw new Refused("a key that cannot be read");
        }
        boolean odd = (bytes[31] & 0x80) != 0;
        bytes[31] &= 0x7f;
        for (int low = 0, high = 31; low < high; low++, high--) {
            byte kept = bytes[low];
            bytes[low] = bytes[high];
            bytes[high] = kept;
        }
        EdECPoint point = new EdECPoint(odd, new BigInteger(1, bytes));
        return KeyFactory.getInstance("Ed25519").generatePublic(new EdECPublicKeySpec(NamedParameterSpec.ED25519, point));
    }

    private static PublicKey p256(JsonNode jwk) throws GeneralSecurityException, Refused {
        AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC");
        parameters.init(new ECGenParameterSpec("secp256r1"));
        ECPoint point = new ECPoint(new BigInteger(1, base64url(jwk.path("x").asText())), new BigInteger(1, base64url(jwk.path("y").asText())));
        ECPublicKeySpec key = new ECPublicKeySpec(point, parameters.getParameterSpec(ECParameterSpec.class));
        return KeyFactory.getInstance("EC").generatePublic(key);
    }

    private static byte[] hmac(byte[] secret, byte[] message) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(secret, "HmacSHA256"));
            return mac.doFinal(message);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException("every Java has HmacSHA256", error);
        }
    }

    private static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException("every Java has SHA-256", error);
        }
    }

    /** As a server that maps names to variables takes them for one another. */
    private static String fold(String name) {
        return name.replaceAll("[^a-z0-9]", "-");
    }

    private static String only(List<Field> headers, String name) throws Refused {
        String found = null;
        for (Field field : headers) {
            if (field.name().equals(name)) {
                if (found != null) {
                    throw new Refused("two of " + name);
                }
                found = field.value();
            }
        }
        if (found == null) {
            throw new Refused("no " + name);
        }
        return found;
    }

    private static long seconds(String text) throws Refused {
        if (text == null || !SECONDS.matcher(text).matches()) {
            throw new Refused("no time");
        }
        return Long.parseLong(text);
    }

    private static String text(JsonNode claims, String name) throws Refused {
        if (!claims.path(name).isTextual()) {
            throw new Refused("no " + name);
        }
        return claims.path(name).asText();
    }

    private static byte[] base64url(String text) throws Refused {
        if (text.indexOf('=') >= 0) {
            throw new Refused("no base64url");
        }
        return decode(Base64.getUrlDecoder(), text);
    }

    private static byte[] decode(Base64.Decoder decoder, String text) throws Refused {
        try {
            return decoder.decode(text);
        } catch (IllegalArgumentException error) {
            throw new Refused("no base64");
        }
    }

    private static JsonNode json(byte[] text) throws Refused {
        try {
            JsonNode value = JSON.readTree(text);
            if (value != null && value.isObject()) {
                return value;
            }
        } catch (java.io.IOException error) {
            throw new Refused("no JSON");
        }
        throw new Refused("no JSON object");
    }
}
