# Sourced: `free_ports NAME FIRST LAST COUNT` prints the first of so many free ports in a row, from FIRST on, in steps of ten.

free_ports() {
    local name=$1 port=$2 last=$3 count=$4 offset
    while [ "$port" -lt "$last" ]; do
        for ((offset = 0; offset < count; offset++)); do
            if (exec 3<>"/dev/tcp/127.0.0.1/$((port + offset))") 2>/dev/null; then
                port=$((port + 10))
                continue 2
            fi
        done
        echo "$port"
        return
    done
    echo "$name: no $count free ports in a row" >&2
    return 1
}
