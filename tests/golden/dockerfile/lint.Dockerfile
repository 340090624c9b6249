# check=experimental=all
ARG TAG=latest
from busybox:$TAG as Build
MAINTAINER ana
ARG DB_PASSWORD
ENV GREETING hola
RUN echo $GREETING \

  && true
WORKDIR app
COPY $SRCS .
CMD start $GREETING
CMD ["a"]
FROM --platform=linux/arm64 scratch AS build
EXPOSE 8080:80/TCP
COPY --from=0 /a /b
