<?php

// An application behind the kit, for `php -S`. See ../run.mjs for KIT_CONTROL.

declare(strict_types=1);

require getenv('KIT_FOLDER') . '/portvakt_verify.php';

$control = json_decode(file_get_contents(getenv('KIT_CONTROL')), true);
if (!empty($control['config']['signature']['nonces'])) {
    // A folder of its own for each vector.
    $folder = getenv('KIT_CONTROL') . '.' . getenv('PORT') . '.' . hash('crc32', $control['vector']);
    if (!is_dir($folder)) {
        mkdir($folder, 0700);
    }
    $control['config']['signature']['nonce_folder'] = $folder;
}
foreach (['signature', 'assertion'] as $proof) {
    if (is_string($control['config'][$proof]['keys'] ?? null)) {
        $control['config'][$proof]['cache'] = getenv('KIT_CONTROL') . '.' . getenv('PORT') . '.keys.' . hash('crc32', $control['config'][$proof]['keys']);
    }
}
try {
    $person = Portvakt\Verifier::guard($control['config'], static fn () => $control['now']);
} catch (InvalidArgumentException $error) {
    // A configuration that it cannot check: the application would answer 500.
    http_response_code(403);
    exit;
}
header('Content-Type: application/json');
echo json_encode(['who' => $person['fnr'] ?? null, 'body' => file_get_contents('php://input')]);
