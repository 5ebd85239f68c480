#!/usr/bin/env bash
# Usage: build.sh KIT TESTS WORK: compiles kit and server for jakarta.servlet and for javax.servlet.
set -eu
kit=$1 tests=$2 work=$3
for flavour in jakarta javax; do
    rm -rf "$work/$flavour-sources" "$work/$flavour-classes"
    mkdir -p "$work/$flavour-sources"
    cp "$kit"/src/main/java/no/portvakt/verify/*.java "$tests/KitServer.java" "$work/$flavour-sources"
    case $flavour in
    jakarta) package=org.eclipse.jetty.ee10.servlet ;;
    javax)
        package=org.eclipse.jetty.servlet
        sed -i 's/jakarta\.servlet/javax.servlet/g' "$work/$flavour-sources"/*.java
        ;;
    esac
    sed -i "s/^import org.eclipse.jetty.server.Server;/import $package.*;\nimport org.eclipse.jetty.server.Server;\nimport org.eclipse.jetty.server.ServerConnector;/" \
        "$work/$flavour-sources/KitServer.java"
    javac -nowarn -cp "$work/$flavour/*" -d "$work/$flavour-classes" "$work/$flavour-sources"/*.java
done
