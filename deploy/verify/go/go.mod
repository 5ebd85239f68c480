module portvakt.no/verify

go 1.19
