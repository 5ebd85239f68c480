<?php

/**
 * Checks that a request was made by Portvakt, the gateway in front of this application, and says for whom.
 *
 * One file for PHP 8.1 and later with its own extensions sodium and openssl; needs no package. What it demands is
 * listed in deploy/verify/README.md. It fails closed: a request that it does not understand is refused.
 *
 *     require 'portvakt_verify.php';
 *     $person = Portvakt\Verifier::guard(['audience' => 'app', 'signature' => [
 *         'algorithm' => 'ed25519', 'keys' => $jwksUrl, 'cache' => '/var/cache/app/portvakt.json']]);
 *     $person['fnr'] ?? null;
 */

declare(strict_types=1);

namespace Portvakt;

/** The request was not made by the gateway for this application. Its text is for the log, not the client. */
final class Refused extends \Exception
{
}

final class Verifier
{
    private const LEEWAY = 10; // seconds that clocks may differ
    private const LIFE = 30; // seconds that a signature lives
    private const ASSERTION_LIFE = 60;
    private const MAX_BODY = 64 * 1024; // the gateway signs no digest of more
    private const COMPONENTS = ['@method', '@authority', '@path', '@query', 'x-portvakt-audience'];
    private const JWK_ALG = ['ed25519' => 'EdDSA', 'ecdsa-p256-sha256' => 'ES256'];
    // What the assertion says too must be the same there: who it is, and for whom. Names of persons may be encoded otherwise.
    private const TWICE = ['kind' => 'kind', 'fnr' => 'fnr', 'loa' => 'loa', 'acr' => 'acr', 'subject' => 'sub',
        'session' => 'session', 'provider' => 'provider', 'eidas_identifier' => 'eidas.identifier',
        'eidas_country' => 'eidas.country', 'match_key' => 'match_key', 'pseudonym' => 'pseudonym', 'fhnummer' => 'fhnummer',
        'org' => 'orgs', 'authorizer_fnr' => 'authorizer.fnr', 'on_behalf_of' => 'on_behalf_of', 'consumer' => 'consumer',
        'supplier' => 'supplier', 'scope' => 'scope'];
    private const KNOWN = [
        '' => ['audience' => 'string', 'signature' => 'array', 'assertion' => 'array'],
        'signature' => ['algorithm' => 'string', 'keys' => 'string array', 'secrets' => 'array', 'nonces' => 'boolean',
            'headers' => 'array', 'content_digest' => 'boolean', 'insecure_http_keys' => 'boolean', 'cache' => 'string',
            'nonce_folder' => 'string'],
        'assertion' => ['algorithm' => 'string', 'keys' => 'string array', 'issuer' => 'string',
            'insecure_http_keys' => 'boolean', 'cache' => 'string'],
    ];

    private string $audience;
    private ?array $signature;
    private ?array $assertion;
    /** @var callable(): float */
    private $clock;

    /** `$config` as deploy/verify/README.md describes it; `$clock` gives Unix seconds. */
    public function __construct(array $config, ?callable $clock = null)
    {
        foreach (self::KNOWN as $place => $known) {
            self::judge($place === '' ? $config : $config[$place] ?? [], $known, $place);
        }
        $this->audience = $config['audience'] ?? '';
        $this->signature = $config['signature'] ?? null;
        $this->assertion = $config['assertion'] ?? null;
        $this->clock = $clock ?? static fn () => microtime(true);
        if ($this->audience === '' || ($this->signature === null && $this->assertion === null)) {
            throw new \InvalidArgumentException('say `audience`, and `signature`, `assertion` or both');
        }
        foreach ([$this->signature, $this->assertion] as $source) {
            self::judgeKeys($source ?? []);
        }
        $algorithm = $this->signature['algorithm'] ?? null;
        if ($algorithm === 'hmac-sha256') {
            foreach ($this->signature['secrets'] as $text) {
                if (strlen(self::base64url($text)) !== 32) {
                    throw new \InvalidArgumentException('a secret is 32 bytes in base64url');
                }
            }
        } elseif ($this->signature !== null && !isset(self::JWK_ALG[$algorithm])) {
            throw new \InvalidArgumentException('no such algorithm');
        }
        if (!empty($this->signature['nonces']) && !is_dir($this->signature['nonce_folder'] ?? '')) {
            throw new \InvalidArgumentException('`nonces` need a `nonce_folder` that exists and is this application\'s own');
        }
        if ($this->assertion !== null
            && (!in_array($this->assertion['algorithm'] ?? '', ['ES256', 'EdDSA'], true) || empty($this->assertion['issuer']))) {
            throw new \InvalidArgumentException('`assertion` names `algorithm` (ES256 or EdDSA), `issuer` and `keys`');
        }
    }

    /** A misspelt key would switch off what it was to demand. */
    private static function judge(mixed $given, array $known, string $place): void
    {
        if (!is_array($given)) {
            throw new \InvalidArgumentException("`$place` is an array");
        }
        foreach ($given as $name => $value) {
            if (!isset($known[$name])) {
                throw new \InvalidArgumentException("no such key: $name");
            }
            if ($value !== null && !in_array(gettype($value), explode(' ', $known[$name]), true)) {
                throw new \InvalidArgumentException("`$name` is of another type");
            }
        }
        if (array_filter($given['headers'] ?? [], static fn ($name) => !is_string($name)) !== []) {
            throw new \InvalidArgumentException('`headers` is a list of names');
        }
    }

    private static function judgeKeys(array $source): void
    {
        if (!is_string($source['keys'] ?? null)) {
            return;
        }
        // Who is on the way to http is the gateway.
        if (empty($source['insecure_http_keys'])
            && !preg_match('{^(https://|http://(localhost|127\.0\.0\.1|\[::1\])[:/])}', $source['keys'])) {
            throw new \InvalidArgumentException('`keys` are fetched over https, from elsewhere than this machine');
        }
        if (!is_string($source['cache'] ?? null) || !is_dir(dirname($source['cache'])) || !is_writable(dirname($source['cache']))) {
            throw new \InvalidArgumentException('`keys` as a URL need a `cache` file, in a folder that is there and can be written');
        }
    }

    /** Who is logged in; ends the request with 403 if it did not come by way of the gateway. */
    public static function guard(array $config, ?callable $clock = null): array
    {
        try {
            return (new self($config, $clock))->check();
        } catch (Refused $error) {
            error_log("portvakt: refused: {$error->getMessage()}");
            http_response_code(403);
            header('Content-Type: text/plain');
            header('Cache-Control: no-store');
            exit("Not by way of the gateway.\n");
        }
    }

    /**
     * The facts of `X-Identity-…` by name, such as `fnr`; empty for nobody.
     *
     * `$server` is $_SERVER: REQUEST_URI must be the raw target (PHP's own server, Apache, and nginx with
     * `fastcgi_param REQUEST_URI $request_uri`).
     */
    public function check(?array $server = null, ?string $body = null): array
    {
        $server ??= $_SERVER;
        $this->refuseTwins();
        $covered = $this->signature === null ? null : $this->checkSignature($server, $body);
        $told = [];
        $variables = array_map(static fn ($name) => 'HTTP_' . strtoupper(strtr($name, '-', '_')), $covered ?? []);
        foreach ($this->signature['headers'] ?? [] as $name) {
            $variable = 'HTTP_' . strtoupper(strtr($name, '-', '_'));
            if (isset($server[$variable]) && !in_array($variable, $variables, true)) {
                throw new Refused('a named header that the signature does not cover');
            }
        }
        foreach ($server as $variable => $value) {
            // PHP has folded the names already: a doubled header has changed the value.
            if (!str_starts_with((string) $variable, 'HTTP_X_IDENTITY')) {
                continue;
            }
            $name = strtolower(strtr(substr($variable, 5), '_', '-'));
            if (!str_starts_with($name, 'x-identity-')) {
                throw new Refused('an identity header that the gateway does not write');
            }
            if ($covered !== null && !in_array($name, $covered, true)) {
                throw new Refused('an identity header that the signature does not cover');
            }
            $told[strtr(substr($name, strlen('x-identity-')), '-', '_')] = $value;
        }
        return $this->assertion === null ? $told : $this->asserted($told);
    }

    /** Where PHP tells the names as they came, a name that folds into one of the gateway's is refused. */
    private function refuseTwins(): void
    {
        $names = function_exists('getallheaders') && isset($_SERVER['REQUEST_URI']) ? array_keys(getallheaders()) : [];
        foreach ($names as $name) {
            $folded = preg_replace('/[^a-z0-9]/', '-', strtolower((string) $name));
            $named = array_filter($this->signature['headers'] ?? [], static fn ($one) => strtr(strtolower($one), '_', '-') === $folded);
            $own = $named === [] ? $folded : strtolower(reset($named));
            if (($named !== [] || preg_match('/^x-(identity|portvakt)/', $folded)) && $own !== strtolower((string) $name)) {
                throw new Refused('an identity header that the gateway does not write');
            }
        }
    }

    /** @return list<string> what is covered */
    private function checkSignature(array $server, ?string $body): array
    {
        $form = '/^portvakt=(\(("[^"\\\\]*"(?: "[^"\\\\]*")*)\)((?:;[a-z]+=(?:[0-9]+|"[^"\\\\]*"))*))$/D';
        if (!preg_match($form, self::field($server, 'signature-input'), $match)) {
            throw new Refused("Signature-Input is not the gateway's");
        }
        $names = array_map(static fn ($name) => trim($name, '"'), explode(' ', $match[2]));
        preg_match_all('/;([a-z]+)=([0-9]+|"[^"\\\\]*")/', $match[3], $pairs);
        $given = array_combine($pairs[1], $pairs[2]);
        if (count($given) !== count($pairs[1]) || count(array_unique($names)) !== count($names)) {
            throw new Refused('something is said twice');
        }
        $algorithm = $this->signature['algorithm'];
        if (($given['tag'] ?? '') !== '"portvakt"' || ($given['alg'] ?? "\"$algorithm\"") !== "\"$algorithm\"") {
            throw new Refused('another tag or algorithm');
        }
        $needsBody = !empty($this->signature['content_digest']);
        $needed = $needsBody ? [...self::COMPONENTS, 'content-digest'] : self::COMPONENTS;
        if (array_diff($needed, $names) !== []) {
            throw new Refused('the signature does not cover enough');
        }
        foreach (['created', 'expires'] as $name) {
            if (!preg_match('/^[0-9]{1,12}$/D', $given[$name] ?? '')) {
                throw new Refused("no $name");
            }
        }
        [$now, $created, $expires] = [($this->clock)(), (int) $given['created'], (int) $given['expires']];
        if ($created > $now + self::LEEWAY || $expires + self::LEEWAY < $now
            || $expires <= $created || $expires - $created > self::LIFE) {
            throw new Refused('not now');
        }
        if (!preg_match('/^portvakt=:([A-Za-z0-9+\/]+={0,2}):$/D', self::field($server, 'signature'), $encoded)) {
            throw new Refused("Signature is not the gateway's");
        }
        $signature = base64_decode($encoded[1], true);
        $base = self::base($names, $match[1], $server);
        $this->checkBytes(trim($given['keyid'] ?? '', '"'), $algorithm, $base, $signature === false ? '' : $signature);
        if (self::field($server, 'x-portvakt-audience') !== $this->audience) {
            throw new Refused('for another audience');
        }
        if ($needsBody) {
            $length = $server['CONTENT_LENGTH'] ?? '';
            $read = $body ?? file_get_contents('php://input', false, null, 0, self::MAX_BODY + 1);
            if (strlen($read) > self::MAX_BODY) {
                throw new Refused('a body that is too long to be signed');
            }
            if (($length !== '' && $length !== (string) strlen($read)) || ($read === '' && ($_POST !== [] || $_FILES !== []))) {
                throw new Refused('a body that PHP has read before (enable_post_data_reading)');
            }
            $digest = base64_encode(hash('sha256', $read, true));
            if (self::field($server, 'content-digest') !== "sha-256=:$digest:") {
                throw new Refused('another body');
            }
        }
        if (!empty($this->signature['nonces'])) {
            $this->remember(trim($given['nonce'] ?? '', '"'), $now);
        }
        return $names;
    }

    private static function base(array $names, string $parameters, array $server): string
    {
        [$path, $query] = array_pad(explode('?', $server['REQUEST_URI'] ?? '', 2), 2, '');
        $derived = [
            '@method' => $server['REQUEST_METHOD'] ?? '',
            '@authority' => strtolower($server['HTTP_HOST'] ?? ''),
            '@path' => $path,
            '@query' => "?$query",
        ];
        $base = '';
        foreach ($names as $name) {
            if (str_starts_with($name, '@') && !isset($derived[$name])) {
                throw new Refused('a component that nobody knows');
            }
            $value = $derived[$name] ?? self::field($server, $name);
            if (!preg_match('/^[ -~]*$/D', $value)) {
                throw new Refused('a value that cannot be signed');
            }
            $base .= "\"$name\": $value\n";
        }
        return "$base\"@signature-params\": $parameters";
    }

    private function checkBytes(string $kid, string $algorithm, string $base, string $signature): void
    {
        if ($algorithm !== 'hmac-sha256') {
            self::verify($this->key($this->signature, $kid, self::JWK_ALG[$algorithm]), $base, $signature);
            return;
        }
        $secret = $this->signature['secrets'][$kid] ?? null;
        if ($secret === null || !hash_equals(hash_hmac('sha256', $base, self::base64url($secret), true), $signature)) {
            throw new Refused('the signature is wrong');
        }
    }

    private function asserted(array $told): array
    {
        $token = $told['assertion'] ?? null;
        unset($told['assertion']);
        if ($token === null) {
            if ($told !== []) {
                throw new Refused('identity headers without an assertion');
            }
            return [];
        }
        $claims = $this->claims($token);
        foreach (self::TWICE as $fact => $claim) {
            if (array_key_exists($fact, $told) && !self::says($told[$fact], $claims, $claim)) {
                throw new Refused('headers and assertion disagree');
            }
        }
        return $claims;
    }

    private static function says(string $header, array $claims, string $name): bool
    {
        $claim = array_reduce(explode('.', $name), static fn ($value, $part) => is_array($value) ? $value[$part] ?? null : null, $claims);
        if (is_array($claim)) {
            return in_array($header, array_map(static fn ($separator) => implode($separator, $claim), [',', ';', '^', '|']), true);
        }
        if (!is_string($claim)) {
            return false;
        }
        // Some are percent-encoded, as the contract has it.
        $coded = preg_replace_callback('/[^ -~]|%/', static fn ($byte) => sprintf('%%%02X', ord($byte[0])), $claim);
        return $header === $claim || $header === $coded;
    }

    private function claims(string $token): array
    {
        $parts = explode('.', $token);
        if (count($parts) !== 3) {
            throw new Refused('no assertion');
        }
        [$header, $claims] = [self::json(self::base64url($parts[0])), self::json(self::base64url($parts[1]))];
        $wanted = $this->assertion['algorithm'];
        if (($header['alg'] ?? '') !== $wanted || ($header['typ'] ?? '') !== 'JWT' || array_key_exists('crit', $header)) {
            throw new Refused('an assertion of another kind');
        }
        $kid = is_string($header['kid'] ?? null) ? $header['kid'] : '';
        $key = $this->key($this->assertion, $kid, $wanted);
        self::verify($key, "$parts[0].$parts[1]", self::base64url($parts[2]));
        [$iat, $exp, $now] = [$claims['iat'] ?? null, $claims['exp'] ?? null, ($this->clock)()];
        if (!is_int($iat) || !is_int($exp) || $iat > $now + self::LEEWAY || $exp + self::LEEWAY < $now
            || $exp <= $iat || $exp - $iat > self::ASSERTION_LIFE) {
            throw new Refused('not now');
        }
        if (($claims['iss'] ?? null) !== $this->assertion['issuer'] || ($claims['aud'] ?? null) !== $this->audience) {
            throw new Refused('by another issuer or for another audience');
        }
        foreach (['sub', 'kind', 'session'] as $name) {
            if (!is_string($claims[$name] ?? null)) {
                throw new Refused('an assertion that does not say of whom it speaks');
            }
        }
        return $claims;
    }

    /** The published key of this id and algorithm. A URL is fetched when the cache is five minutes old or lacks it. */
    private function key(array $source, string $kid, string $alg): array
    {
        $fits = static fn ($key) => ($key['kid'] ?? null) === $kid && ($key['alg'] ?? null) === $alg;
        $found = array_values(array_filter($this->keys($source, $kid), $fits));
        if (count($found) !== 1) {
            throw new Refused('a key that is not published');
        }
        return $found[0];
    }

    private function keys(array $source, string $kid): array
    {
        if (is_array($source['keys'])) {
            return $source['keys'];
        }
        $file = $source['cache'];
        $now = (int) ($this->clock)();
        $cached = is_file($file) ? json_decode((string) file_get_contents($file), true) : null;
        [$keys, $age] = [$cached['keys'] ?? [], $now - ($cached['tried'] ?? 0)];
        $known = in_array($kid, array_column($keys, 'kid'), true);
        if ($age < 60 || ($known && $age < 300)) {
            return $keys;
        }
        $context = stream_context_create(['http' => ['timeout' => 5, 'follow_location' => 0]]);
        $answer = @file_get_contents($source['keys'], false, $context, 0, 1_000_000);
        $fresh = $answer === false ? null : (json_decode($answer, true)['keys'] ?? null);
        $whole = is_array($fresh) && $fresh !== [] && array_filter($fresh, 'is_array') === $fresh;
        $keys = $whole ? $fresh : $keys; // the keys that are here go on
        $beside = tempnam(dirname($file), 'jwks');
        file_put_contents($beside, json_encode(['keys' => $keys, 'tried' => $now]));
        rename($beside, $file);
        return $keys;
    }

    /** One file for each nonce, made by whoever comes first. */
    private function remember(string $nonce, float $now): void
    {
        $folder = $this->signature['nonce_folder'];
        if (random_int(1, 256) === 1) {
            foreach (new \FilesystemIterator($folder) as $file) {
                // Another process may have removed it.
                $made = @filemtime($file->getPathname());
                if ($made !== false && $made + self::LIFE + 2 * self::LEEWAY < $now) {
                    @unlink($file->getPathname());
                }
            }
        }
        $file = $nonce === '' ? false : @fopen($folder . '/' . hash('sha256', $nonce), 'x');
        if ($file === false) {
            throw new Refused('replayed');
        }
        fclose($file);
    }

    private static function verify(array $jwk, string $message, string $signature): void
    {
        $x = self::base64url((string) ($jwk['x'] ?? ''));
        $kind = ($jwk['kty'] ?? '') . ' ' . ($jwk['crv'] ?? '');
        if ($kind === 'OKP Ed25519' && strlen($x) === 32 && strlen($signature) === 64) {
            $valid = sodium_crypto_sign_verify_detached($signature, $message, $x);
        } elseif ($kind === 'EC P-256' && strlen($signature) === 64) {
            $y = self::base64url((string) ($jwk['y'] ?? ''));
            // RFC 5480: SubjectPublicKeyInfo of an uncompressed point on P-256.
            $der = hex2bin('3059301306072a8648ce3d020106082a8648ce3d030107034200') . "\x04$x$y";
            $pem = "-----BEGIN PUBLIC KEY-----\n" . chunk_split(base64_encode($der), 64, "\n") . "-----END PUBLIC KEY-----\n";
            $sequence = self::integer(substr($signature, 0, 32)) . self::integer(substr($signature, 32));
            $valid = openssl_verify($message, "\x30" . chr(strlen($sequence)) . $sequence, $pem, OPENSSL_ALGO_SHA256) === 1;
        } else {
            $valid = false;
        }
        if (!$valid) {
            throw new Refused('the signature is wrong');
        }
    }

    /** A positive INTEGER in DER. */
    private static function integer(string $bytes): string
    {
        $bytes = ltrim($bytes, "\0");
        if ($bytes === '' || ord($bytes[0]) > 127) {
            $bytes = "\0$bytes";
        }
        return "\x02" . chr(strlen($bytes)) . $bytes;
    }

    private static function field(array $server, string $name): string
    {
        $value = $server['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? null;
        if (!is_string($value)) {
            throw new Refused("no $name");
        }
        return trim($value, " \t");
    }

    private static function base64url(string $text): string
    {
        $bytes = preg_match('/^[A-Za-z0-9_-]*$/D', $text) ? base64_decode(strtr($text, '-_', '+/'), true) : false;
        if ($bytes === false) {
            throw new Refused('no base64url');
        }
        return $bytes;
    }

    private static function json(string $text): array
    {
        $value = json_decode($text, true, 16);
        if (!is_array($value) || array_is_list($value)) {
            throw new Refused('no JSON object');
        }
        return $value;
    }
}
