# The small base, from the archives that runtime.sh makes, and what stands in for published images while it is built.
# Its context is a folder with runtime.tar, tools.tar and uv; `make images` makes it.
FROM scratch AS runtime
ADD runtime.tar /
ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8

FROM runtime AS builder
ADD tools.tar /

FROM scratch AS uv
COPY uv /uv
